//! A stand-in for CloudWatch's `GetMetricStatistics`: the SDK speaks CBOR with it, which moto does
//! not. It notes which metrics it is asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use chrono::{TimeDelta, Utc};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::stack::relay;

/// The measurements: each function's errors in the last hour, and the age of each queue's oldest
/// message in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    pub errors: f64,
    pub age: f64,
}

/// A metric as the API and the templates name it: its namespace, name, dimensions and statistic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub namespace: String,
    pub name: String,
    pub dimensions: Vec<(String, String)>,
    pub statistic: String,
}

impl Metric {
    /// The metric with these `properties`, of a query or of an alarm.
    pub fn of(properties: &Value, statistic: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let dimensions = properties["Dimensions"].as_array().into_iter().flatten();
        Self {
            namespace: text(&properties["Namespace"]),
            name: text(&properties["MetricName"]),
            dimensions: dimensions
                .map(|dimension| (text(&dimension["Name"]), text(&dimension["Value"])))
                .collect(),
            statistic: text(statistic),
        }
    }
}

/// The stand-in. It lives as long as the test process.
pub struct CloudWatch {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    measured: Measured,
    asked: BTreeSet<Metric>,
}

impl CloudWatch {
    /// Starts a stand-in that measures only zeros, on its own thread and runtime.
    pub fn start() -> Self {
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be created")
                .block_on(serve(listener, &shared));
        });
        Self { url, state }
    }

    /// Sets the measurements.
    pub fn set(&self, measured: Measured) {
        self.state.lock().expect("no panic while locked").measured = measured;
    }

    /// The metrics that were asked for.
    pub fn asked(&self) -> BTreeSet<Metric> {
        let state = self.state.lock().expect("no panic while locked");
        state.asked.clone()
    }
}

async fn serve(listener: std::net::TcpListener, state: &Mutex<State>) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be set non-blocking");
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        // The client notices a broken connection itself.
        let _ = answer(client, state).await;
    }
}

async fn answer(mut client: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = relay::read(&mut client).await? else {
        return Ok(());
    };
    let query = value(&mut Decoder::new(&request.body));
    let metric = Metric::of(&query, &query["Statistics"][0]);
    let body = {
        let mut state = state.lock().expect("no panic while locked");
        let measured = if metric.name == "ApproximateAgeOfOldestMessage" {
            state.measured.age
        } else {
            state.measured.errors
        };
        let body = point(&metric.statistic, measured);
        state.asked.insert(metric);
        body
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), &body].concat()).await
}

/// `{"Datapoints": [{"Timestamp": a minute ago, statistic: value}]}`.
fn point(statistic: &str, value: f64) -> Vec<u8> {
    let at = DateTime::from(SystemTime::from(Utc::now() - TimeDelta::minutes(1)));
    let mut body = Encoder::new(vec![]);
    body.map(1).str("Datapoints").array(1).map(2);
    body.str("Timestamp").timestamp(&at);
    body.str(statistic).double(value);
    body.into_writer()
}

/// The next value, with times as `null`.
fn value(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().expect("it is CBOR") {
        Type::Map | Type::MapIndef => {
            let count = decoder.map().expect("it is a map");
            let mut entries = Map::new();
            while is_next(decoder, count, entries.len()) {
                let name = decoder.str().expect("a name is a text").into_owned();
                entries.insert(name, value(decoder));
            }
            entries.into()
        }
        Type::Array | Type::ArrayIndef => {
            let count = decoder.list().expect("it is a list");
            let mut items = vec![];
            while is_next(decoder, count, items.len()) {
                items.push(value(decoder));
            }
            items.into()
        }
        Type::String | Type::StringIndef => json!(decoder.str().expect("it is a text")),
        _ => {
            decoder.skip().expect("it is a value");
            Value::Null
        }
    }
}

/// Whether a map or list of `count` has another entry after `read`. One of unknown length ends with
/// a break, which is skipped.
fn is_next(decoder: &mut Decoder<'_>, count: Option<u64>, read: usize) -> bool {
    if let Some(count) = count {
        return (read as u64) < count;
    }
    let is_end = decoder.datatype().expect("it is CBOR") == Type::Break;
    if is_end {
        decoder.skip().expect("a break can be skipped");
    }
    !is_end
}
