//! The real parts of the end-to-end tests, all on loopback and on free ports: AWS's DynamoDB Local,
//! AWS's Lambda runtime interface emulator, and a moto server for IAM, SNS, SQS and EventBridge.
//! They are fetched once into the target directory, started by the first test that needs them, and
//! stopped with the test process, however it ends.

#![allow(
    dead_code,
    reason = "two test binaries share the stack, and neither uses all of it"
)]

pub mod browser;
pub mod build;
pub mod clients;
pub mod cloudformation;
pub mod emulator;
pub mod fetch;
pub mod http;
pub mod left_out;
pub mod pages;
pub mod proxy;
pub mod pump;
pub mod relay;
pub mod server;
pub mod template;
pub mod tls;
pub mod wiring;

use std::sync::OnceLock;

use server::Server;

/// The servers that all tests share.
pub struct Stack {
    /// DynamoDB Local.
    pub dynamodb_url: String,
    /// moto.
    pub moto_url: String,
    _servers: [Server; 2],
}

/// The shared servers. The first call fetches what is missing and starts them.
pub async fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    tokio::task::spawn_blocking(|| {
        STACK.get_or_init(|| {
            let dynamodb = server::start_dynamodb();
            let moto = server::start_moto(&[]);
            Stack {
                dynamodb_url: dynamodb.url.clone(),
                moto_url: moto.url.clone(),
                _servers: [dynamodb, moto],
            }
        })
    })
    .await
    .expect("the test stack could not be started")
}
