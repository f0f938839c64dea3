// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! The conformance service and client on the crate's synchronous API. docs/conformance.md says
//! what they have to do. The crate knows unary calls only.
//!
//!     rust-conformance server    serve, and print the address; end when stdin does
//!     rust-conformance client    read commands as lines of JSON, write results

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::io::IntoRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use std::{env, fs, process, thread};

use protobuf::{CodedInputStream, CodedOutputStream, Message, ProtobufResult};
use serde_json::{json, Value};
use ttrpc::{Code, Error, MethodHandler, Request, Response, Result, Server, Status, TtrpcContext};

const NAME: &str = "ttrpc.conformance.v1.Conformance";

fn main() {
    match env::args().nth(1).as_deref() {
        Some("server") => serve(),
        Some("client") => client(),
        _ => panic!("usage: server | client"),
    }
}

/// The message Request of conformance.proto, as far as unary calls need it.
#[derive(Default)]
struct Ask {
    text: String,
    size: u32,
    delay_ms: u32,
    status: Option<Status>,
    show: bool,
}

impl Ask {
    fn parse(payload: &[u8]) -> ProtobufResult<Ask> {
        let mut ask = Ask::default();
        let mut input = CodedInputStream::from_bytes(payload);
        while !input.eof()? {
            let (field, wire_type) = input.read_tag_unpack()?;
            match field {
                1 => ask.text = input.read_string()?,
                2 => ask.size = input.read_uint32()?,
                4 => ask.delay_ms = input.read_uint32()?,
                5 => ask.status = Some(Status::parse_from_bytes(&input.read_bytes()?)?),
                7 => ask.show = input.read_bool()?,
                _ => input.skip_field(wire_type)?,
            }
        }
        Ok(ask)
    }
}

/// The message Answer, encoded.
fn answer(text: &str, code: i32, shown: Option<&TtrpcContext>) -> ProtobufResult<Vec<u8>> {
    let mut out = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut out);
    if !text.is_empty() {
        stream.write_string(1, text)?;
    }
    if code != 0 {
        stream.write_int32(4, code)?;
    }
    if let Some(ctx) = shown {
        for (key, values) in &ctx.metadata {
            for value in values {
                stream.write_bytes(5, &pair(key, value)?)?;
            }
        }
        if ctx.timeout_nano != 0 {
            stream.write_uint32(6, (ctx.timeout_nano / 1_000_000).max(1) as u32)?;
        }
    }
    stream.flush()?;
    drop(stream);
    Ok(out)
}

fn pair(key: &str, value: &str) -> ProtobufResult<Vec<u8>> {
    let mut out = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut out);
    stream.write_string(1, key)?;
    stream.write_string(2, value)?;
    stream.flush()?;
    drop(stream);
    Ok(out)
}

/// How the calls of Wait have ended, by the text of their requests.
#[derive(Default)]
struct Waits {
    codes: Mutex<HashMap<String, i32>>,
    changed: Condvar,
}

/// Answers one method.
struct Handler(Arc<Waits>, &'static str);

impl MethodHandler for Handler {
    fn handler(&self, ctx: TtrpcContext, req: Request) -> Result<()> {
        let mut response = Response::new();
        match self.answer(&ctx, &req.payload) {
            Ok(payload) => response.set_payload(payload),
            Err(Error::RpcStatus(status)) => response.set_status(status),
            Err(err) => response.set_status(ttrpc::get_status(Code::UNKNOWN, err.to_string())),
        }
        ttrpc::response_to_channel(ctx.mh.stream_id, response, ctx.res_tx)
    }
}

fn malformed(err: protobuf::ProtobufError) -> Error {
    Error::RpcStatus(ttrpc::get_status(Code::INTERNAL, format!("ttrpc: error unmarshalling payload: {err}")))
}

impl Handler {
    fn answer(&self, ctx: &TtrpcContext, payload: &[u8]) -> Result<Vec<u8>> {
        if self.1 == "Fail" {
            return Err(Error::RpcStatus(Status::parse_from_bytes(payload).map_err(malformed)?));
        }
        let ask = Ask::parse(payload).map_err(malformed)?;
        match self.1 {
            "Wait" => return Err(self.wait(ctx, &ask.text)),
            "Ended" => return self.ended(&ask.text),
            _ => (),
        }
        if ask.delay_ms > 0 {
            thread::sleep(Duration::from_millis(ask.delay_ms.into()));
        }
        if let Some(status) = ask.status {
            return Err(Error::RpcStatus(status));
        }
        let text = if ask.size > 0 { "x".repeat(ask.size as usize) } else { ask.text };
        answer(&text, 0, ask.show.then(|| ctx)).map_err(malformed)
    }

    /// The crate leaves deadlines to handlers, and tells them nothing of the connection's end.
    fn wait(&self, ctx: &TtrpcContext, text: &str) -> Error {
        if ctx.timeout_nano == 0 {
            thread::sleep(Duration::from_secs(60));
            return Error::RpcStatus(ttrpc::get_status(Code::CANCELLED, "nothing has ended the call"));
        }
        thread::sleep(Duration::from_nanos(ctx.timeout_nano.max(0) as u64));
        self.0.codes.lock().unwrap().insert(text.to_string(), Code::DEADLINE_EXCEEDED as i32);
        self.0.changed.notify_all();
        Error::RpcStatus(ttrpc::get_status(Code::DEADLINE_EXCEEDED, "the deadline has passed"))
    }

    fn ended(&self, text: &str) -> Result<Vec<u8>> {
        let codes = self.0.codes.lock().unwrap();
        let missing = |codes: &mut HashMap<String, i32>| !codes.contains_key(text);
        let (codes, _) = self.0.changed.wait_timeout_while(codes, Duration::from_secs(5), missing).unwrap();
        match codes.get(text) {
            Some(code) => answer(text, *code, None).map_err(malformed),
            None => Err(Error::RpcStatus(ttrpc::get_status(Code::NOT_FOUND, "no Wait has ended that has that text"))),
        }
    }
}

fn serve() {
    let dir = env::temp_dir().join(format!("rust-conformance-{}", process::id()));
    fs::create_dir(&dir).expect("making a directory");
    let path = dir.join("s");
    let listener = UnixListener::bind(&path).expect("listening").into_raw_fd();
    let waits = Arc::new(Waits::default());
    let methods = ["Unary", "Fail", "Wait", "Ended"].iter().map(|method| {
        let handler: Box<dyn MethodHandler + Send + Sync> = Box::new(Handler(waits.clone(), *method));
        (format!("/{NAME}/{method}"), handler)
    });
    let server = Server::new().add_listener(listener).expect("adding the listener");
    let mut server = server.register_service(HashMap::from_iter(methods));
    server.start().expect("starting");
    println!("unix:{}", path.display());
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let _ = fs::remove_dir_all(dir);
    process::exit(0);
}

fn client() {
    let mut clients: HashMap<String, ttrpc::Client> = HashMap::new();
    for line in io::stdin().lock().lines() {
        let line = line.expect("reading a command");
        let command: Value = serde_json::from_str(&line).expect("a command is JSON");
        let address = command["address"].as_str().unwrap_or_default().to_string();
        match command["do"].as_str() {
            Some("call") => {
                let client = clients.entry(address).or_insert_with_key(|address| {
                    let path = address.trim_start_matches("unix:");
                    ttrpc::Client::new(UnixStream::connect(path).expect("connecting").into_raw_fd())
                });
                let client = client.clone();
                thread::spawn(move || reply(call(&client, &command)));
            }
            Some("close") | Some("leave") => {
                clients.remove(&address);
                reply(json!({"id": command["id"]}));
            }
            // The crate cannot give a call up.
            _ => reply(json!({"id": command["id"], "error": "the crate has no such command"})),
        }
    }
}

fn reply(result: Value) {
    let mut out = io::stdout().lock();
    writeln!(out, "{result}").expect("writing a result");
}

fn call(client: &ttrpc::Client, command: &Value) -> Value {
    let mut req = Request::new();
    req.set_service(NAME.to_string());
    req.set_method(command["method"].as_str().unwrap_or_default().to_string());
    req.set_payload(unhex(command["messages"][0].as_str().unwrap_or_default()));
    req.set_timeout_nano(command["timeout_ms"].as_i64().unwrap_or(0) * 1_000_000);
    for pair in command["metadata"].as_array().into_iter().flatten() {
        let kv = req.mut_metadata().push_default();
        kv.set_key(pair[0].as_str().unwrap_or_default().to_string());
        kv.set_value(pair[1].as_str().unwrap_or_default().to_string());
    }
    let id = &command["id"];
    match client.request(req).and_then(|response| Ask::parse(&response.payload).map_err(malformed).map(|_| response)) {
        Ok(response) => json!({"id": id, "code": 0, "messages": [hex(&response.payload)]}),
        Err(Error::RpcStatus(status)) => {
            let details: Vec<_> = status.details.iter().map(|d| hex(&d.write_to_bytes().unwrap())).collect();
            json!({"id": id, "code": status.code as i32, "text": status.message, "details": details})
        }
        Err(err) => json!({"id": id, "code": -1, "text": err.to_string()}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal")).collect()
}
