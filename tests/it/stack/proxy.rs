//! A proxy before one server that keeps what it is sent, and answers some requests itself, with an error.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::relay;

/// Which requests are answered with what, and how often yet.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What the request's head or body contains.
    pub part: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The body of the answer.
    pub body: &'static str,
    /// How many more requests are answered so.
    pub times: u32,
}

/// The proxy. It lives as long as the test process.
pub struct Proxy {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    refused: u32,
    bodies: Vec<String>,
}

impl Proxy {
    /// Starts a proxy before the server at `upstream_url`, on a thread and a runtime of its own.
    pub fn start(upstream_url: &str) -> Self {
        let upstream = upstream_url.trim_start_matches("http://").to_owned();
        let state = Arc::new(Mutex::new(State::default()));
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared = state.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made")
                .block_on(serve(listener, upstream, shared));
        });
        Self { url, state }
    }

    /// Sets the fault, in place of the one before.
    pub fn set(&self, fault: Fault) {
        self.state
            .lock()
            .expect("nobody panics with the lock")
            .fault = Some(fault);
    }

    /// Takes the bodies of the requests so far.
    pub fn take_bodies(&self) -> Vec<String> {
        std::mem::take(
            &mut self
                .state
                .lock()
                .expect("nobody panics with the lock")
                .bodies,
        )
    }

    /// How many requests were answered with a fault.
    pub fn refused(&self) -> u32 {
        self.state
            .lock()
            .expect("nobody panics with the lock")
            .refused
    }
}

async fn serve(listener: std::net::TcpListener, upstream: String, state: Arc<Mutex<State>>) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be made non-blocking");
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, state) = (upstream.clone(), state.clone());
        tokio::spawn(async move {
            // A connection that breaks is the client's to notice.
            let _ = one_request(client, &upstream, &state).await;
        });
    }
}

/// Answers one request and closes, so that each request is looked at.
async fn one_request(
    mut client: TcpStream,
    upstream: &str,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let Some(request) = relay::read(&mut client).await? else {
        return Ok(());
    };
    let whole = format!("{}{}", request.head, String::from_utf8_lossy(&request.body));
    if let Some(answer) = fault(state, &whole) {
        return client.write_all(answer.as_bytes()).await;
    }
    state
        .lock()
        .expect("nobody panics with the lock")
        .bodies
        .push(String::from_utf8_lossy(&request.body).into_owned());
    let answer = relay::forward(&request, upstream).await?;
    client.write_all(&answer).await
}

fn fault(state: &Mutex<State>, request: &str) -> Option<String> {
    let mut state = state.lock().expect("nobody panics with the lock");
    let fault = state.fault.as_mut()?;
    if fault.times == 0 || !request.contains(fault.part) {
        return None;
    }
    fault.times -= 1;
    let answer = format!(
        "HTTP/1.1 {} Fault\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        fault.status,
        fault.body.len(),
        fault.body
    );
    state.refused += 1;
    Some(answer)
}
