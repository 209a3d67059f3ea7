//! A proxy for one server that causes trouble on purpose: late, lost and refused requests, lost
//! responses, and outdated listings of keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::far_recheck::{FarRecheck, far_recheck};
use crate::outage::Outage;
use crate::stack::relay::{self, Request};
use crate::troubles::Troubles;

/// How often a request meets each kind of trouble.
const HELD_BACK: f64 = 0.006;
const CUT_BEFORE: f64 = 0.03;
const CUT_AFTER: f64 = 0.04;
/// The same for a request that carries an alert, because that is what causes a repeat.
const CUT_AFTER_ALERT: f64 = 0.2;
const UNAVAILABLE: f64 = 0.04;
const SLOW: f64 = 0.12;
const STALE: f64 = 0.4;

/// The longest delay of a slow request, in milliseconds.
const SLOW_MS: u64 = 300;
/// How long a request is held back so that it arrives only after the detector's own timeout of
/// three seconds, in milliseconds.
const HELD_BACK_MS: std::ops::Range<u64> = 3_200..5_000;

const UNAVAILABLE_ANSWER: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The proxy. It lives as long as the test process.
pub struct Chaos {
    /// The URL with trouble.
    pub url: String,
    /// The URL without trouble.
    pub calm_url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    stale_at_most: Duration,
    /// moto's queues are not safe for concurrent requests: a message that is added during a
    /// deletion may be lost.
    one_at_a_time: Option<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

struct State {
    is_on: bool,
    rng: Rng,
    troubles: Troubles,
    outage: Outage,
    /// By user name, what the server listed and when it was asked.
    listings: BTreeMap<String, Vec<(Instant, Vec<u8>)>>,
    far_rechecks: Vec<FarRecheck>,
}

/// What happens to a request.
enum Fate {
    Served,
    HeldBack(Duration),
    CutBefore,
    CutAfter,
    Unavailable,
    Stale(Vec<u8>),
}

impl Chaos {
    /// Starts a proxy for the server at `upstream_url`, on its own thread and runtime. A listing
    /// that it serves is at most `stale_at_most` old.
    pub fn start(
        upstream_url: &str,
        one_at_a_time: bool,
        stale_at_most: Duration,
        rng: Rng,
    ) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream_url.trim_start_matches("http://").to_owned(),
            stale_at_most,
            one_at_a_time: one_at_a_time.then(|| tokio::sync::Mutex::new(())),
            state: Mutex::new(State {
                is_on: false,
                rng,
                troubles: Troubles::default(),
                outage: Outage::default(),
                listings: BTreeMap::new(),
                far_rechecks: vec![],
            }),
        });
        let ((listener, url), (calm_listener, calm_url)) = (listener(), listener());
        let serving = shared.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be created")
                .block_on(async {
                    tokio::join!(
                        serve(listener, serving.clone(), true),
                        serve(calm_listener, serving.clone(), false),
                    )
                });
        });
        Self {
            url,
            calm_url,
            shared,
        }
    }

    /// Turns trouble on or off.
    pub fn set(&self, is_on: bool) {
        self.shared.state().is_on = is_on;
    }

    /// The troubles so far.
    pub fn troubles(&self) -> Troubles {
        self.shared.state().troubles
    }

    /// The re-checks in the queue that are so far in the future that the test does not wait for
    /// them.
    pub fn far_rechecks(&self) -> Vec<FarRecheck> {
        self.shared.state().far_rechecks.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Chooses at random what happens to `request`, and after which delay.
    fn draw(&self, request: &Request) -> (Duration, Fate) {
        let mut state = self.state();
        if !state.is_on {
            return (Duration::ZERO, Fate::Served);
        }
        let mut wait = Duration::ZERO;
        if state.rng.f64() < SLOW {
            state.troubles.slow += 1;
            wait = Duration::from_millis(state.rng.u64(0..SLOW_MS));
        }
        let State { outage, rng, .. } = &mut *state;
        if outage.refuses(request, rng) {
            state.troubles.unavailable += 1;
            return (wait, Fate::Unavailable);
        }
        let drawn = state.rng.f64();
        let mut below = 0.0;
        let mut falls = |odds: f64| {
            below += odds;
            drawn < below
        };
        let fate = if falls(HELD_BACK) {
            state.troubles.held_back += 1;
            Fate::HeldBack(Duration::from_millis(state.rng.u64(HELD_BACK_MS)))
        } else if falls(CUT_BEFORE) {
            state.troubles.cut_before += 1;
            Fate::CutBefore
        } else if falls(if carries_alert(request) {
            CUT_AFTER_ALERT
        } else {
            CUT_AFTER
        }) {
            state.troubles.cut_after += 1;
            Fate::CutAfter
        } else if falls(UNAVAILABLE) {
            state.troubles.unavailable += 1;
            Fate::Unavailable
        } else {
            self.stale_listing(&mut state, request)
                .map_or(Fate::Served, Fate::Stale)
        };
        (wait, fate)
    }

    /// Now and then, one of this user's listings that are not too old.
    fn stale_listing(&self, state: &mut State, request: &Request) -> Option<Vec<u8>> {
        let user = listed_user(request)?;
        let known: Vec<Vec<u8>> = state
            .listings
            .get(&user)?
            .iter()
            .filter(|(at, _)| at.elapsed() < self.stale_at_most)
            .map(|(_, answer)| answer.clone())
            .collect();
        if known.is_empty() || state.rng.f64() >= STALE {
            return None;
        }
        state.troubles.stale += 1;
        let drawn = state.rng.usize(0..known.len());
        known.into_iter().nth(drawn)
    }

    async fn ask(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        let _turn = match &self.one_at_a_time {
            Some(turns) => Some(turns.lock().await),
            None => None,
        };
        let asked = Instant::now();
        let answer = relay::forward(request, &self.upstream).await?;
        let mut state = self.state();
        if let Some(user) = listed_user(request) {
            let known = state.listings.entry(user).or_default();
            known.retain(|(at, _)| at.elapsed() < self.stale_at_most);
            known.push((asked, answer.clone()));
        }
        state.far_rechecks.extend(far_recheck(request));
        Ok(answer)
    }
}

/// Whether `request` is one with which a detector announces a finding.
fn carries_alert(request: &Request) -> bool {
    let publishes = b"Action=Publish&";
    request.head.contains("AWSEvents.PutEvents") || request.body.starts_with(publishes)
}

/// The user of a `ListAccessKeys`.
fn listed_user(request: &Request) -> Option<String> {
    let body = std::str::from_utf8(&request.body).ok()?;
    if !body.contains("Action=ListAccessKeys&") {
        return None;
    }
    body.split('&')
        .find_map(|field| field.strip_prefix("UserName="))
        .map(str::to_lowercase)
}

fn listener() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener
        .set_nonblocking(true)
        .expect("a listener can be set non-blocking");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, is_troubled: bool) {
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // The client notices a broken connection itself.
            let _ = one_request(client, &shared, is_troubled).await;
        });
    }
}

async fn one_request(
    mut client: TcpStream,
    shared: &Shared,
    is_troubled: bool,
) -> std::io::Result<()> {
    let Some(request) = relay::read(&mut client).await? else {
        return Ok(());
    };
    let (wait, fate) = if is_troubled {
        shared.draw(&request)
    } else {
        (Duration::ZERO, Fate::Served)
    };
    tokio::time::sleep(wait).await;
    match fate {
        Fate::Served => client.write_all(&shared.ask(&request).await?).await,
        Fate::HeldBack(hold) => {
            tokio::time::sleep(hold).await;
            client.write_all(&shared.ask(&request).await?).await
        }
        Fate::CutBefore => Ok(()),
        Fate::CutAfter => {
            let answer = shared.ask(&request).await?;
            client.write_all(&answer[..answer.len() / 2]).await
        }
        Fate::Unavailable => client.write_all(UNAVAILABLE_ANSWER).await,
        Fate::Stale(answer) => client.write_all(&answer).await,
    }
}
