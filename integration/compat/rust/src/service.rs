// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! The service of the peers: those methods of the one written in Go that make sense
//! here, with the same behaviour.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use std::{process, thread};

use protobuf::well_known_types::{BytesValue, Empty, Int64Value, StringValue};
use protobuf::Message;
use ttrpc::{Code, Error, Response, Result, Status};

use crate::message::{bytes, decode, encode, int, pattern, text};

pub const NAME: &str = "compat.Peer";

/// What a handler gets.
pub struct Call {
    pub payload: Vec<u8>,
    pub metadata: HashMap<String, Vec<String>>,
    pub timeout_nano: i64,
}

/// What a method does: it returns the response, encoded.
pub type Method = fn(&Service, &Call) -> Result<Vec<u8>>;

pub const METHODS: &[(&str, Method)] = &[
    ("Echo", |_, call| Ok(encode(&decode::<BytesValue>(&call.payload)?))),
    ("Text", |_, call| Ok(encode(&text(&named(call)?)))),
    ("Bytes", |_, call| {
        let n = decode::<Int64Value>(&call.payload)?.value;
        Ok(encode(&bytes(pattern(n as usize))))
    }),
    ("Fail", |_, call| Err(failure(&named(call)?))),
    ("Metadata", |_, call| Ok(encode(&text(&metadata_of(call))))),
    ("Deadline", |_, call| Ok(encode(&text(deadline_of(call))))),
    ("AwaitDeadline", |_, call| {
        await_deadline(call);
        Err(status(Code::DEADLINE_EXCEEDED, "context deadline exceeded"))
    }),
    ("Hold", Service::hold),
    ("HoldPastEnd", Service::hold_past_end),
    ("HoldPastServe", Service::hold_past_serve),
    ("Started", |service, call| {
        service.wait(&format!("started {}", named(call)?));
        Ok(call.payload.clone())
    }),
    ("Release", |service, call| {
        service.happened(&format!("released {}", named(call)?));
        Ok(call.payload.clone())
    }),
    ("Noted", |service, call| {
        service.wait(&format!("ended {}", named(call)?));
        Ok(encode(&text("context deadline exceeded")))
    }),
    ("Shutdown", |service, _| {
        service.happened(Service::SHUTDOWN);
        Ok(encode(&Empty::new()))
    }),
    // Close is as sudden here as being killed.
    ("Close", |_, _| process::exit(0)),
];

/// What has happened. Scenarios steer handlers by making things happen.
#[derive(Default)]
pub struct Service {
    events: Mutex<HashSet<String>>,
    changed: Condvar,
}

impl Service {
    /// Somebody has called Shutdown.
    pub const SHUTDOWN: &'static str = "shutdown";
    /// The server does not accept any more.
    pub const SERVED: &'static str = "served";

    pub fn happened(&self, event: &str) {
        self.events.lock().unwrap().insert(event.to_string());
        self.changed.notify_all();
    }

    pub fn wait(&self, event: &str) {
        let events = self.events.lock().unwrap();
        let _events = self.changed.wait_while(events, |events| !events.contains(event)).unwrap();
    }

    /// Runs a method and makes its response.
    pub fn answer(&self, method: Method, call: &Call) -> Response {
        let mut response = Response::new();
        match method(self, call) {
            Ok(payload) => response.set_payload(payload),
            Err(Error::RpcStatus(status)) => response.set_status(status),
            Err(err) => response.set_status(ttrpc::get_status(Code::UNKNOWN, err.to_string())),
        }
        response
    }

    fn hold(&self, call: &Call) -> Result<Vec<u8>> {
        let run = named(call)?;
        self.happened(&format!("started {run}"));
        self.wait(&format!("released {run}"));
        Ok(encode(&text("held")))
    }

    fn hold_past_end(&self, call: &Call) -> Result<Vec<u8>> {
        await_deadline(call);
        self.happened(&format!("ended {}", named(call)?));
        self.hold(call)
    }

    fn hold_past_serve(&self, call: &Call) -> Result<Vec<u8>> {
        self.happened(&format!("started {}", named(call)?));
        self.wait(Service::SERVED);
        Ok(encode(&text("held")))
    }
}

/// The name in a request.
fn named(call: &Call) -> Result<String> {
    Ok(decode::<StringValue>(&call.payload)?.value)
}

/// The crate leaves deadlines to handlers.
fn await_deadline(call: &Call) {
    thread::sleep(Duration::from_nanos(call.timeout_nano as u64));
}

fn status(code: Code, message: &str) -> Error {
    Error::RpcStatus(ttrpc::get_status(code, message))
}

fn failure(kind: &str) -> Error {
    match kind {
        "status" => status(Code::NOT_FOUND, "no such container"),
        "status with details" => Error::RpcStatus(with_details()),
        "status called closed" => status(Code::UNKNOWN, "ttrpc: closed"),
        kind => Error::Others(kind.to_string()),
    }
}

fn with_details() -> Status {
    let mut status = ttrpc::get_status(Code::FAILED_PRECONDITION, "it is running");
    let details: [&dyn Message; 2] = [&text("pid"), &int(42)];
    for detail in details {
        let any = status.mut_details().push_default();
        any.set_type_url(format!("type.googleapis.com/{}", detail.descriptor().full_name()));
        any.set_value(encode(detail));
    }
    status
}

fn metadata_of(call: &Call) -> String {
    if call.metadata.is_empty() {
        return "no metadata".to_string();
    }
    let mut lines: Vec<_> = call
        .metadata
        .iter()
        .map(|(key, values)| {
            let quoted: Vec<_> = values.iter().map(|v| format!("{v:?}")).collect();
            format!("{key}=[{}]", quoted.join(" "))
        })
        .collect();
    lines.sort();
    lines.join(" ")
}

fn deadline_of(call: &Call) -> &'static str {
    match call.timeout_nano {
        0 => "no deadline",
        1..=3_600_000_000_000 => "a deadline within the hour: true",
        _ => "a deadline within the hour: false",
    }
}
