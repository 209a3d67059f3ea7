//! A stand-in for CloudWatch's `GetMetricStatistics`: the SDK speaks CBOR with it, which moto does not.

use std::sync::{Arc, Mutex};

use chrono::Utc;
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

/// The stand-in. It lives as long as the test process.
pub struct CloudWatch {
    pub url: String,
    measured: Arc<Mutex<Measured>>,
}

impl CloudWatch {
    /// Starts a stand-in that measures only zeros, on its own thread and runtime.
    pub fn start() -> Self {
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let measured = Arc::new(Mutex::new(Measured::default()));
        let shared = measured.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be created")
                .block_on(serve(listener, &shared));
        });
        Self { url, measured }
    }

    /// Sets the measurements.
    pub fn set(&self, measured: Measured) {
        *self.measured.lock().expect("no panic while locked") = measured;
    }
}

async fn serve(listener: std::net::TcpListener, measured: &Mutex<Measured>) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be set non-blocking");
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        // The client notices a broken connection itself.
        let _ = answer(client, measured).await;
    }
}

async fn answer(mut client: TcpStream, measured: &Mutex<Measured>) -> std::io::Result<()> {
    let Some(request) = relay::read(&mut client).await? else {
        return Ok(());
    };
    let asked = String::from_utf8_lossy(&request.body).into_owned();
    let Measured { errors, age } = *measured.lock().expect("no panic while locked");
    let body = if asked.contains("ApproximateAgeOfOldestMessage") {
        point("Maximum", age)
    } else {
        point("Sum", errors)
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), &body].concat()).await
}

/// `{"Datapoints": [{"Timestamp": a minute ago, statistic: value}]}` in CBOR.
fn point(statistic: &str, value: f64) -> Vec<u8> {
    let mut body = vec![0xa1];
    text(&mut body, "Datapoints");
    body.extend([0x81, 0xa2]);
    text(&mut body, "Timestamp");
    // The tag of a time in seconds since 1970.
    body.push(0xc1);
    let seconds = Utc::now().timestamp() - 60;
    number(
        &mut body,
        f64::from(i32::try_from(seconds).expect("it is before 2038")),
    );
    text(&mut body, statistic);
    number(&mut body, value);
    body
}

fn text(body: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("it is short");
    assert!(length < 24, "a longer text has another head");
    body.push(0x60 + length);
    body.extend(text.as_bytes());
}

fn number(body: &mut Vec<u8>, number: f64) {
    body.push(0xfb);
    body.extend(number.to_be_bytes());
}
