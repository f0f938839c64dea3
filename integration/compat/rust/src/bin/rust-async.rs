// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

//! The crate's asynchronous server and client as peers.

use std::collections::HashMap;
use std::future;
use std::sync::Arc;

use async_trait::async_trait;
use protobuf::Message;
use rust_peer::{connect, listen, Call, Client, Method, Service, METHODS, NAME};
use tokio::runtime::Runtime;
use tokio::task;
use ttrpc::r#async::{self, MethodHandler, Server, TtrpcContext};
use ttrpc::{Request, Response, Result};

fn main() {
    rust_peer::main::<AsyncClient>(|addr, service| {
        let runtime = Runtime::new().expect("starting the runtime");
        runtime.block_on(serve(addr, service));
    });
}

/// Answers one method.
struct Handler(Arc<Service>, Method);

#[async_trait]
impl MethodHandler for Handler {
    async fn handler(&self, ctx: TtrpcContext, req: Request) -> Result<(u32, Vec<u8>)> {
        let (service, method) = (self.0.clone(), self.1);
        let call = Call { payload: req.payload, metadata: ctx.metadata, timeout_nano: ctx.timeout_nano };
        let response = task::spawn_blocking(move || service.answer(method, &call)).await.unwrap();
        Ok((ctx.mh.stream_id, response.write_to_bytes().unwrap()))
    }
}

async fn serve(addr: &str, service: Arc<Service>) {
    let methods = METHODS.iter().map(|(name, method)| {
        let handler: Box<dyn MethodHandler + Send + Sync> = Box::new(Handler(service.clone(), *method));
        (format!("/{NAME}/{name}"), handler)
    });
    let server = Server::new().add_listener(listen(addr)).expect("adding the listener").set_domain_unix();
    let mut server = server.register_service(HashMap::from_iter(methods));
    server.start().await.expect("starting");
    println!("serving");
    let waiting = service.clone();
    task::spawn_blocking(move || waiting.wait(Service::SHUTDOWN)).await.unwrap();
    server.stop_listen().await;
    service.happened(Service::SERVED);
    server.shutdown().await.expect("shutting down");
    future::pending().await
}

#[derive(Clone)]
struct AsyncClient {
    runtime: Arc<Runtime>,
    client: r#async::Client,
}

impl Client for AsyncClient {
    fn dial(addr: &str) -> Self {
        let runtime = Arc::new(Runtime::new().expect("starting the runtime"));
        let _entered = runtime.enter();
        let client = r#async::Client::new(connect(addr));
        AsyncClient { runtime: runtime.clone(), client }
    }

    fn request(&self, req: Request) -> Result<Response> {
        self.runtime.block_on(self.client.clone().request(req))
    }

    fn each_at_once(&self, sequences: Vec<Vec<Request>>) -> Vec<Vec<Result<Response>>> {
        let running: Vec<_> = sequences
            .into_iter()
            .map(|requests| {
                let mut client = self.client.clone();
                self.runtime.spawn(async move {
                    let mut results = Vec::new();
                    for req in requests {
                        results.push(client.request(req).await);
                    }
                    results
                })
            })
            .collect();
        running.into_iter().map(|task| self.runtime.block_on(task).unwrap()).collect()
    }
}
