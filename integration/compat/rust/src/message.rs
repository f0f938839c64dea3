// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! Messages, and requests made of them.

use protobuf::well_known_types::{BytesValue, Int64Value, StringValue};
use protobuf::Message;
use ttrpc::{Request, Result};

use crate::NAME;

pub fn text(s: &str) -> StringValue {
    let mut m = StringValue::new();
    m.set_value(s.to_string());
    m
}

pub fn int(n: i64) -> Int64Value {
    let mut m = Int64Value::new();
    m.set_value(n);
    m
}

pub fn bytes(b: Vec<u8>) -> BytesValue {
    let mut m = BytesValue::new();
    m.set_value(b);
    m
}

pub fn encode(m: &dyn Message) -> Vec<u8> {
    m.write_to_bytes().expect("encoding a message")
}

pub fn decode<M: Message>(payload: &[u8]) -> Result<M> {
    M::parse_from_bytes(payload).map_err(|err| ttrpc::Error::Others(err.to_string()))
}

/// A request to the peers' service.
pub fn request(method: &str, message: &dyn Message) -> Request {
    let mut req = Request::new();
    req.set_service(NAME.to_string());
    req.set_method(method.to_string());
    req.set_payload(encode(message));
    req
}

/// n bytes that are valid UTF-8 and no two stretches of which are the same: those
/// that the peer written in Go makes.
pub fn pattern(n: usize) -> Vec<u8> {
    let mut b = Vec::with_capacity(n + 16);
    for i in 0.. {
        if b.len() >= n {
            break;
        }
        b.extend(format!("{i} ").bytes());
    }
    b.truncate(n);
    b
}
