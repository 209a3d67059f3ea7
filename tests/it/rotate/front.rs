//! A proxy in front of moto: it records requests and answers some of them itself, with responses
//! that moto cannot produce.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::stack::relay::{self, Request};

/// The response to some requests.
#[derive(Debug, Clone)]
struct Answer {
    /// What the request must contain.
    parts: Vec<String>,
    status: u16,
    body: String,
}

/// The proxy. It lives as long as the test process.
pub struct Front {
    pub url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answers: Vec<Answer>,
    delay: Option<(String, Duration)>,
    asked: Vec<String>,
}

impl Front {
    /// Starts a proxy for the server at `upstream_url`, on its own thread and runtime.
    pub fn start(upstream_url: &str) -> Self {
        let upstream = upstream_url.trim_start_matches("http://").to_owned();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let url = serve(move |request, client| {
            let (upstream, state) = (upstream.clone(), shared.clone());
            async move { pass(request, client, &upstream, &state).await }
        });
        Self { url, state }
    }

    /// Answers later requests that contain all of `parts` with this response.
    pub fn answer(&self, parts: &[&str], status: u16, body: &str) {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        let body = body.to_owned();
        self.state.lock().unwrap().answers.push(Answer {
            parts,
            status,
            body,
        });
    }

    /// Sets when `key` was last used, according to IAM.
    pub fn last_used(&self, key: &str, at: chrono::DateTime<chrono::Utc>) {
        let body = format!(
            "<GetAccessKeyLastUsedResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <GetAccessKeyLastUsedResult><UserName>u</UserName><AccessKeyLastUsed><LastUsedDate>{}</LastUsedDate>\
             <ServiceName>s3</ServiceName><Region>eu-west-1</Region></AccessKeyLastUsed></GetAccessKeyLastUsedResult>\
             </GetAccessKeyLastUsedResponse>",
            at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        );
        self.answer(&["Action=GetAccessKeyLastUsed", key], 200, &body);
    }

    /// Sets the active keys of `user`, each with its creation time, according to IAM.
    pub fn list_keys(&self, user: &str, keys: &[(&str, chrono::DateTime<chrono::Utc>)]) {
        let member = |(key, created): &(&str, chrono::DateTime<chrono::Utc>)| {
            let created = created.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            format!(
                "<member><UserName>{user}</UserName><AccessKeyId>{key}</AccessKeyId>\
                 <Status>Active</Status><CreateDate>{created}</CreateDate></member>"
            )
        };
        let members = keys.iter().map(member).collect::<Vec<_>>().concat();
        let body = format!(
            "<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <ListAccessKeysResult><AccessKeyMetadata>{members}</AccessKeyMetadata>\
             <IsTruncated>false</IsTruncated></ListAccessKeysResult></ListAccessKeysResponse>"
        );
        self.answer(&["Action=ListAccessKeys", user], 200, &body);
    }

    /// Denies requests that contain `parts`.
    pub fn deny(&self, parts: &[&str]) {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message>\
            </Error><RequestId>1</RequestId></ErrorResponse>";
        self.answer(parts, 403, body);
    }

    /// Delays later requests that contain `part`.
    pub fn delay(&self, part: &str, by: Duration) {
        self.state.lock().unwrap().delay = Some((part.to_owned(), by));
    }

    /// Whether the action was requested.
    pub fn has_asked(&self, action: &str) -> bool {
        self.count(action) > 0
    }

    /// How often the action was requested.
    pub fn count(&self, action: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|asked| *asked == action).count()
    }

    /// The names of the actions requested so far.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// Listens on a free port, on its own thread and runtime, and answers one request per connection
/// with `answer`.
pub fn serve<A, F>(answer: A) -> String
where
    A: Fn(Request, TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be created")
            .block_on(async move {
                listener.set_nonblocking(true).expect("it can be");
                let listener = TcpListener::from_std(listener).expect("it is a listener");
                let answer = Arc::new(answer);
                while let Ok((mut client, _)) = listener.accept().await {
                    let answer = answer.clone();
                    tokio::spawn(async move {
                        // The client notices a broken connection itself.
                        if let Ok(Some(request)) = relay::read(&mut client).await {
                            let _ = answer(request, client).await;
                        }
                    });
                }
            });
    });
    url
}

/// Writes a response and closes the connection.
pub async fn write(
    client: &mut TcpStream,
    status: u16,
    kind: &str,
    body: &str,
) -> std::io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await
}

async fn pass(
    request: Request,
    mut client: TcpStream,
    upstream: &str,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let whole = format!("{}{}", request.head, String::from_utf8_lossy(&request.body));
    let (answer, delay) = {
        let mut state = state.lock().unwrap();
        state.asked.extend(action(&whole));
        let is_meant = |answer: &&Answer| {
            let mut parts = answer.parts.iter();
            parts.all(|part| whole.contains(part.as_str()))
        };
        let delay = state.delay.as_ref();
        (
            state.answers.iter().rev().find(is_meant).cloned(),
            delay
                .filter(|(part, _)| whole.contains(part))
                .map(|(_, by)| *by),
        )
    };
    tokio::time::sleep(delay.unwrap_or_default()).await;
    if let Some(answer) = answer {
        return write(&mut client, answer.status, "text/xml", &answer.body).await;
    }
    let answer = relay::forward(&request, upstream).await?;
    client.write_all(&answer).await
}

/// The action of a request: from its form, or from the header if it is JSON.
fn action(request: &str) -> Option<String> {
    let lower = request.to_lowercase();
    let name = match lower.find("x-amz-target:") {
        Some(at) => request[at..].lines().next()?.rsplit('.').next()?.trim(),
        None => request.rsplit("Action=").next()?.split('&').next()?,
    };
    Some(name.to_owned())
}
