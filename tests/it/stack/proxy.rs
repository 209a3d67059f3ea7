//! A proxy for one server that records requests and their times, and answers some of them with an
//! error.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::pages;
use super::relay::{self, Request};

/// Which requests receive which response, and how often.
#[derive(Debug, Clone)]
pub struct Fault {
    /// A part of the request's head or body.
    pub part: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The body of the answer.
    pub body: &'static str,
    /// How many more requests receive this response.
    pub times: u32,
}

/// An answered request. Only the first attempt is recorded, because a slow machine causes more
/// retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The action, such as `GetItem`.
    pub action: String,
    /// When the request arrived.
    pub began: Instant,
    /// When the response was ready.
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
    requests: Vec<Request>,
    delay: Duration,
    page: Option<usize>,
    exchanges: Vec<Exchange>,
}

impl Proxy {
    /// Starts a proxy for the server at `upstream_url`, on its own thread and runtime.
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
                .expect("a runtime can be created")
                .block_on(serve(listener, upstream, shared));
        });
        Self { url, state }
    }

    /// Sets the fault and replaces earlier ones.
    pub fn set(&self, fault: Fault) {
        self.set_all(vec![fault]);
    }

    /// Sets the faults and replaces earlier ones. If two match a request, the first one applies.
    pub fn set_all(&self, faults: Vec<Fault>) {
        self.state.lock().expect("no panic while locked").faults = faults;
    }

    /// Takes the requests so far.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().expect("no panic while locked").requests)
    }

    /// Takes the requests so far, of which the bodies are enough.
    pub fn take_bodies(&self) -> Vec<String> {
        self.take_requests().iter().map(Request::text).collect()
    }

    /// Delays each request, so that requests sent in parallel overlap.
    pub fn delay(&self, delay: Duration) {
        self.state.lock().expect("no panic while locked").delay = delay;
    }

    /// Divides the lists in the answers into pages of at most `page` items.
    pub fn pages_of(&self, page: usize) {
        self.state.lock().expect("no panic while locked").page = Some(page);
    }

    /// Takes the requests answered so far.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.state.lock().expect("no panic while locked").exchanges)
    }

    /// How many requests were answered with a fault.
    pub fn refused(&self) -> u32 {
        self.state.lock().expect("no panic while locked").refused
    }
}

async fn serve(listener: std::net::TcpListener, upstream: String, state: Arc<Mutex<State>>) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be set non-blocking");
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, state) = (upstream.clone(), state.clone());
        tokio::spawn(async move {
            // The client notices a broken connection itself.
            let _ = one_request(client, &upstream, &state).await;
        });
    }
}

/// Answers one request and closes the connection, so that each request is inspected.
async fn one_request(
    mut client: TcpStream,
    upstream: &str,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let Some(mut request) = relay::read(&mut client).await? else {
        return Ok(());
    };
    let began = Instant::now();
    let whole = format!("{}{}", request.head, request.text());
    if let Some(answer) = fault(state, &whole) {
        return client.write_all(answer.as_bytes()).await;
    }
    let (delay, page) = {
        let mut state = state.lock().expect("no panic while locked");
        state.requests.push(request.clone());
        (state.delay, state.page)
    };
    tokio::time::sleep(delay).await;
    let action_name = action(&request);
    let page = page.and_then(|size| pages::of(&mut request, &action_name, size));
    let mut answer = relay::forward(&request, upstream).await?;
    if let Some(cut) = page.and_then(|page| page.cut(&answer)) {
        answer = cut;
    }
    if is_first_try(&request) {
        let exchange = Exchange {
            action: action_name,
            began,
            // Recorded before the client receives the response, so that its next request begins
            // later.
            ended: Instant::now(),
        };
        let mut state = state.lock().expect("no panic while locked");
        state.exchanges.push(exchange);
    }
    client.write_all(&answer).await
}

/// Whether the SDK sends `request` for the first time.
fn is_first_try(request: &Request) -> bool {
    header(request, "amz-sdk-request").is_none_or(|tries| tries.contains("attempt=1;"))
}

/// The action of `request`: the last part of its target, or its form's action.
pub fn action(request: &Request) -> String {
    let target = header(request, "x-amz-target")
        .and_then(|target| target.rsplit('.').next().map(str::to_owned));
    let of_form = || {
        let body = request.text();
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
    let mut state = state.lock().expect("no panic while locked");
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
