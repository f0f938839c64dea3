// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! What a client prints: the same JSON as the peer written in Go.

use std::fmt::{self, Display, Formatter, Write};

use ttrpc::Error;

/// One observation.
pub struct Step {
    name: String,
    value: String,
    error: String,
    code: String,
    details: Vec<String>,
}

impl Step {
    pub fn new(name: &str, outcome: Result<String, Error>) -> Self {
        let mut step = Step {
            name: name.to_string(),
            value: String::new(),
            error: String::new(),
            code: String::new(),
            details: Vec::new(),
        };
        match outcome {
            Ok(value) => step.value = value,
            Err(Error::RpcStatus(status)) => {
                step.error = status.message.clone();
                step.code = format!("{:?}", status.code);
                step.details = status.details.iter().map(|d| format!("{} {:?}", d.type_url, d.value)).collect();
            }
            Err(err) => step.error = format!("{err:?}"),
        }
        step
    }
}

/// A step as JSON, without what is empty.
impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"name":{}"#, quote(&self.name))?;
        for (field, content) in [("value", &self.value), ("error", &self.error), ("code", &self.code)] {
            if !content.is_empty() {
                write!(f, r#","{field}":{}"#, quote(content))?;
            }
        }
        if !self.details.is_empty() {
            let details: Vec<_> = self.details.iter().map(|d| quote(d)).collect();
            write!(f, r#","details":[{}]"#, details.join(","))?;
        }
        f.write_str("}")
    }
}

/// What happened in one scenario, as JSON.
pub fn scenario(name: &str, steps: &[Step]) -> String {
    let steps: Vec<_> = steps.iter().map(Step::to_string).collect();
    format!(r#"{{"name":{},"steps":[{}]}}"#, quote(name), steps.join(","))
}

fn quote(s: &str) -> String {
    let mut quoted = String::from('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => write!(quoted, "\\u{:04x}", c as u32).unwrap(),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
