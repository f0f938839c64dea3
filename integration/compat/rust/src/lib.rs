// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! What the peers written on the crate ttrpc share: all but the crate's two ways
//! to serve and to call, which are the programs rust-sync and rust-async.
//!
//!     rust-sync server ADDR             serve on the unix socket ADDR until stdin ends
//!     rust-sync client ADDR SCENARIO…   run scenarios, print a line of JSON for each
//!     rust-sync list                    print the names of all scenarios

mod message;
mod report;
mod scenarios;
mod service;

use std::io::{self, Read};
use std::os::unix::io::{IntoRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::{env, process, thread};

pub use scenarios::Client;
pub use service::{Call, Method, Service, METHODS, NAME};

/// Does what the command line says. serve serves until the process ends.
pub fn main<C: Client>(serve: fn(&str, Arc<Service>)) {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["server", addr] => {
            thread::spawn(exit_after_stdin);
            serve(addr, Arc::default());
        }
        ["client", addr, ref names @ ..] => {
            for name in names {
                println!("{}", scenarios::run::<C>(addr, name));
            }
        }
        ["list"] => scenarios::names::<C>().for_each(|name| println!("{name}")),
        _ => panic!("usage: server ADDR | client ADDR SCENARIO… | list"),
    }
}

// The crate gets sockets and not their addresses: as Debian builds it, with a later
// version of the crate nix than it was written for, it hands the kernel garbage for
// an address (EINVAL).

pub fn listen(addr: &str) -> RawFd {
    UnixListener::bind(addr).expect("listening").into_raw_fd()
}

pub fn connect(addr: &str) -> RawFd {
    UnixStream::connect(addr).expect("connecting").into_raw_fd()
}

/// Ends the process when the test closes its stdin.
fn exit_after_stdin() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    process::exit(0);
}
