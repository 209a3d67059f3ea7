//! A proxy before one server that keeps what it is sent and when, and answers some requests itself, with an error.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::relay::{self, Request};

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

/// A request that was answered. Of several tries only the first is noted: a slow machine makes more of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked for, such as `GetItem`.
    pub action: String,
    /// When the request was there.
    pub began: Instant,
    /// When the answer was.
    pub ended: Instant,
}

/// The proxy. It lives as long as the test process.
pub struct Proxy {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    refused: u32,
    bodies: Vec<String>,
    delay: Duration,
    exchanges: Vec<Exchange>,
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

    /// Sets the fault, in place of those before.
    pub fn set(&self, fault: Fault) {
        self.set_all(vec![fault]);
    }

    /// Sets the faults, in place of those before. Of two that fit a request the first one answers.
    pub fn set_all(&self, faults: Vec<Fault>) {
        self.state
            .lock()
            .expect("nobody panics with the lock")
            .faults = faults;
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

    /// Has each request wait for so long, so that those that are sent side by side overlap.
    pub fn delay(&self, delay: Duration) {
        self.state
            .lock()
            .expect("nobody panics with the lock")
            .delay = delay;
    }

    /// Takes the requests that were answered so far.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(
            &mut self
                .state
                .lock()
                .expect("nobody panics with the lock")
                .exchanges,
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
    let began = Instant::now();
    let whole = format!("{}{}", request.head, String::from_utf8_lossy(&request.body));
    if let Some(answer) = fault(state, &whole) {
        return client.write_all(answer.as_bytes()).await;
    }
    let delay = {
        let mut state = state.lock().expect("nobody panics with the lock");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        state.bodies.push(body);
        state.delay
    };
    tokio::time::sleep(delay).await;
    let answer = relay::forward(&request, upstream).await?;
    if is_first_try(&request) {
        let exchange = Exchange {
            action: action(&request),
            began,
            // Before the client has it: what it sends upon that begins later.
            ended: Instant::now(),
        };
        let mut state = state.lock().expect("nobody panics with the lock");
        state.exchanges.push(exchange);
    }
    client.write_all(&answer).await
}

/// Whether the SDK sends `request` for the first time.
fn is_first_try(request: &Request) -> bool {
    header(request, "amz-sdk-request").is_none_or(|tries| tries.contains("attempt=1;"))
}

/// What `request` asks for: the last part of its target, or its form's action.
fn action(request: &Request) -> String {
    let target = header(request, "x-amz-target")
        .and_then(|target| target.rsplit('.').next().map(str::to_owned));
    let of_form = || {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let action = body
            .split('&')
            .find_map(|field| field.strip_prefix("Action="));
        action.map(str::to_owned)
    };
    target.or_else(of_form).unwrap_or_default()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn fault(state: &Mutex<State>, request: &str) -> Option<String> {
    let mut state = state.lock().expect("nobody panics with the lock");
    let fault = state
        .faults
        .iter_mut()
        .find(|fault| fault.times > 0 && request.contains(fault.part))?;
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
