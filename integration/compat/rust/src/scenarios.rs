// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! What a client does, with what outcome.

use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};

use protobuf::well_known_types::{Empty, StringValue};
use protobuf::Message;
use ttrpc::context::Context;
use ttrpc::{Request, Response, Result};

use crate::message::{bytes, decode, encode, int, pattern, request, text};
use crate::report::{self, Step};

/// A connection.
pub trait Client: Clone + Send + 'static {
    fn dial(addr: &str) -> Self;
    fn request(&self, req: Request) -> Result<Response>;

    /// Makes the calls of each sequence one after the other, all sequences at once.
    fn each_at_once(&self, sequences: Vec<Vec<Request>>) -> Vec<Vec<Result<Response>>>;
}

/// How long the data of a frame may be.
const MESSAGE_LIMIT: usize = 4 << 20;

const MILLISECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600_000 * MILLISECOND;

/// Sizes of what callers send: around those where a frame needs more than one read or
/// write, and small ones.
const SIZES: &[usize] = &[0, 1, 100, 1000, 4080, 4096, 10_000, 65_536];
const SMALL_SIZES: &[usize] = &[0, 1, 100];

type Scenario<C> = (&'static str, fn(&mut Session<C>));

/// All there are. What they note does not depend on time or luck, unless the test
/// says so.
fn all<C: Client>() -> Vec<Scenario<C>> {
    vec![
        ("echo of nothing", |s| s.echo(0)),
        ("echo of 1 B", |s| s.echo(1)),
        ("echo of 64 KiB", |s| s.echo(64 << 10)),
        ("request at the limit", |s| s.echo(fitting_request())),
        ("request over the limit", |s| s.echo(fitting_request() + 1)),
        ("response at the limit", |s| s.long_answer(fitting_response())),
        ("response over the limit", |s| s.long_answer(fitting_response() + 1)),
        ("errors", errors),
        ("unimplemented", unimplemented),
        ("metadata", metadata),
        ("deadline seen by the handler", deadline_seen),
        ("deadline passes in the handler", deadline_in_handler),
        ("deadline passes for the caller", deadline_for_caller),
        ("64 callers", |s| s.calls(64, 100, SIZES)),
        ("32000 calls", |s| s.calls(64, 500, SMALL_SIZES)),
        ("shutdown with a call in flight", |s| s.ended_by("HoldPastServe", "Shutdown")),
        ("server closes mid-call", |s| s.ended_by("Hold", "Close")),
        // The test ends one of the processes.
        ("cut mid-call", |s| s.call("call", request("HoldPastEnd", &text(RUN)))),
    ]
}

pub fn names<C: Client>() -> impl Iterator<Item = &'static str> {
    all::<C>().into_iter().map(|(name, _)| name)
}

/// Runs a scenario and returns its report.
pub fn run<C: Client>(addr: &str, name: &str) -> String {
    let mut s = Session { addr, client: C::dial(addr), steps: Vec::new() };
    let (_, scenario) = all().into_iter().find(|sc| sc.0 == name).expect("no such scenario");
    scenario(&mut s);
    report::scenario(name, &s.steps)
}

/// One run of a scenario.
struct Session<'a, C> {
    addr: &'a str,
    client: C,
    steps: Vec<Step>,
}

/// A call under way on another thread.
type Running = JoinHandle<Result<String>>;

impl<C: Client> Session<'_, C> {
    fn note(&mut self, name: &str, outcome: Result<String>) {
        self.steps.push(Step::new(name, outcome));
    }

    /// Makes a call that answers with text, and notes the outcome.
    fn call(&mut self, name: &str, req: Request) {
        let outcome = self.client.request(req).and_then(|resp| said(&resp));
        self.note(name, outcome);
    }

    /// Notes that the connection is good, or no more.
    fn still(&mut self) {
        self.call("still", request("Text", &text("here")));
    }

    /// Makes a call on another thread, and returns when its handler runs.
    fn background(&self, req: Request) -> Running {
        let client = self.client.clone();
        let running = thread::spawn(move || client.request(req).and_then(|resp| said(&resp)));
        C::dial(self.addr).request(request("Started", &text(RUN))).expect("Started");
        running
    }

    /// Has n bytes sent back.
    fn echo(&mut self, n: usize) {
        let sent = bytes(pattern(n));
        let outcome = self.client.request(request("Echo", &sent)).map(|resp| {
            assert!(resp.payload == encode(&sent), "another payload than was sent");
            format!("{n} bytes")
        });
        self.note("call", outcome);
        self.still();
    }

    /// Asks for n bytes.
    fn long_answer(&mut self, n: usize) {
        let outcome = self.client.request(request("Bytes", &int(n as i64))).map(|resp| {
            assert!(resp.payload == encode(&bytes(pattern(n))), "another payload than was asked for");
            format!("{n} bytes")
        });
        self.note("call", outcome);
        self.still();
    }

    /// Notes how many calls of so many callers at once went well, and how others
    /// went. No two callers send the same.
    fn calls(&mut self, callers: usize, each: usize, sizes: &[usize]) {
        let content = pattern(65_536);
        let message = |caller, i| {
            let mut data = format!("caller {caller} call {i} ").into_bytes();
            data.extend(&content[..sizes[(caller + i) % sizes.len()]]);
            bytes(data)
        };
        let sequence = |caller| (0..each).map(|i| request("Echo", &message(caller, i))).collect();
        let results = self.client.each_at_once((0..callers).map(sequence).collect());
        let mut outcomes = BTreeMap::new();
        for (caller, results) in results.into_iter().enumerate() {
            for (i, result) in results.into_iter().enumerate() {
                let outcome = match result {
                    Ok(resp) if resp.payload == encode(&message(caller, i)) => "good".to_string(),
                    Ok(_) => "another's answer".to_string(),
                    Err(err) => format!("{err:?}"),
                };
                *outcomes.entry(outcome).or_insert(0) += 1;
            }
        }
        for (outcome, n) in outcomes {
            self.note(&outcome, Ok(n.to_string()));
        }
        self.still();
    }

    /// Has a call on another connection end the server while a handler runs.
    fn ended_by(&mut self, method: &str, end: &str) {
        let running = self.background(request(method, &text(RUN)));
        // It may end before it answers.
        let _ = C::dial(self.addr).request(request(end, &Empty::new()));
        self.join(running);
    }

    fn join(&mut self, running: Running) {
        self.note("call", running.join().unwrap());
    }
}

/// What steers a handler and what it is steered by have this in common.
const RUN: &str = "run";

/// The text in a response.
fn said(resp: &Response) -> Result<String> {
    Ok(decode::<StringValue>(&resp.payload)?.value)
}

/// How many bytes a request to Echo can hold.
fn fitting_request() -> usize {
    let full = request("Echo", &bytes(vec![0; MESSAGE_LIMIT]));
    2 * MESSAGE_LIMIT - full.compute_size() as usize
}

/// How many bytes a response can hold.
fn fitting_response() -> usize {
    let mut full = Response::new();
    full.set_payload(encode(&bytes(vec![0; MESSAGE_LIMIT])));
    2 * MESSAGE_LIMIT - full.compute_size() as usize
}

fn errors<C: Client>(s: &mut Session<C>) {
    for kind in ["plain", "empty", "unicode", "context.Canceled", "os.ErrNotExist", "io.EOF"] {
        s.call(kind, request("Fail", &text(kind)));
    }
    for kind in ["status", "status with details", "status called closed", "status of unknown code"] {
        s.call(kind, request("Fail", &text(kind)));
    }
    s.call("request that does not parse", request("Text", &bytes(vec![0xff, 0xfe])));
    s.still();
}

fn unimplemented<C: Client>(s: &mut Session<C>) {
    let mut req = request("Text", &text(""));
    req.set_service("compat.Nothing".to_string());
    s.call("service", req);
    s.call("method", request("Nothing", &text("")));
    s.call("no names", Request::new());
    s.still();
}

fn metadata<C: Client>(s: &mut Session<C>) {
    let with = |pairs: &[(&str, &str)]| {
        let mut ctx = Context::default();
        for (key, value) in pairs {
            ctx.add(key.to_string(), value.to_string());
        }
        let mut req = request("Metadata", &Empty::new());
        req.set_metadata(ttrpc::context::to_pb(ctx.metadata));
        req
    };
    s.call("none", with(&[]));
    s.call("single", with(&[("key", "value")]));
    s.call("multi-valued", with(&[("key", "c"), ("key", "a"), ("key", ""), ("key", "b"), ("other", "x")]));
    s.call("mixed case", with(&[("Mixed-Case", "Value"), ("lower", "x")]));
}

fn timed(method: &str, message: &dyn Message, timeout: i64) -> Request {
    let mut req = request(method, message);
    req.set_timeout_nano(timeout);
    req
}

fn deadline_seen<C: Client>(s: &mut Session<C>) {
    s.call("none", request("Deadline", &Empty::new()));
    s.call("an hour", timed("Deadline", &Empty::new(), HOUR));
}

fn deadline_in_handler<C: Client>(s: &mut Session<C>) {
    s.call("call", timed("AwaitDeadline", &Empty::new(), MILLISECOND));
    s.still();
}

/// Has a handler answer long after the deadline.
fn deadline_for_caller<C: Client>(s: &mut Session<C>) {
    s.call("call", timed("HoldPastEnd", &text(RUN), MILLISECOND));
    s.call("handler's context", request("Noted", &text(RUN)));
    s.call("release", request("Release", &text(RUN)));
    s.still();
}
