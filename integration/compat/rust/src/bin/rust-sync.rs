// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! The crate's synchronous server and client as peers.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use rust_peer::{connect, listen, Call, Client, Method, Service, METHODS, NAME};
use ttrpc::{MethodHandler, Request, Response, Result, Server, TtrpcContext};

fn main() {
    rust_peer::main::<SyncClient>(serve);
}

/// Answers one method.
struct Handler(Arc<Service>, Method);

impl MethodHandler for Handler {
    fn handler(&self, ctx: TtrpcContext, req: Request) -> Result<()> {
        let call = Call { payload: req.payload, metadata: ctx.metadata, timeout_nano: ctx.timeout_nano };
        ttrpc::response_to_channel(ctx.mh.stream_id, self.0.answer(self.1, &call), ctx.res_tx)
    }
}

fn serve(addr: &str, service: Arc<Service>) {
    let methods = METHODS.iter().map(|(name, method)| {
        let handler: Box<dyn MethodHandler + Send + Sync> = Box::new(Handler(service.clone(), *method));
        (format!("/{NAME}/{name}"), handler)
    });
    let server = Server::new().add_listener(listen(addr)).expect("adding the listener");
    let mut server = server.register_service(HashMap::from_iter(methods));
    server.start().expect("starting");
    println!("serving");
    service.wait(Service::SHUTDOWN);
    let server = server.stop_listen();
    service.happened(Service::SERVED);
    server.shutdown();
    loop {
        thread::park();
    }
}

#[derive(Clone)]
struct SyncClient(ttrpc::Client);

impl Client for SyncClient {
    fn dial(addr: &str) -> Self {
        SyncClient(ttrpc::Client::new(connect(addr)))
    }

    fn request(&self, req: Request) -> Result<Response> {
        self.0.request(req)
    }

    fn each_at_once(&self, sequences: Vec<Vec<Request>>) -> Vec<Vec<Result<Response>>> {
        let running: Vec<_> = sequences
            .into_iter()
            .map(|requests| {
                let client = self.0.clone();
                thread::spawn(move || requests.into_iter().map(|req| client.request(req)).collect())
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}
