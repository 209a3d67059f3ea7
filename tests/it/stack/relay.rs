//! Reads a whole HTTP request and forwards it, for proxies between a client and a server.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the headers, including the final empty line.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The request that `client` sends, or `None` if the connection breaks.
pub async fn read(client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Request>> {
    let mut request = Vec::new();
    let head_ends = loop {
        if let Some(at) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&request[..head_ends]).into_owned();
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    while request.len() < head_ends + length {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    let body = request.split_off(head_ends);
    Ok(Some(Request { head, body }))
}

/// The response of the server at `upstream` to `request`, head and body.
pub async fn forward(request: &Request, upstream: &str) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).await?;
    let head = request
        .head
        .replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await?;
    server.write_all(&request.body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if request.text().contains("Action=GetCredentialReport") {
        let whole = String::from_utf8_lossy(&answer);
        return Ok(with_root(&whole)
            .unwrap_or_else(|| whole.into_owned())
            .into());
    }
    Ok(answer)
}

/// moto's credential report with an added row for root, which AWS's report always has.
fn with_root(answer: &str) -> Option<String> {
    let body = answer.split_once("\r\n\r\n")?.1;
    let (before, rest) = body.split_once("<Content>")?;
    let (content, after) = rest.split_once("</Content>")?;
    let mut report = BASE64_STANDARD.decode(content.trim()).ok()?;
    report.extend(
        b"<root_account>,arn:aws:iam::123456789012:root,2015-01-01T00:00:00+00:00,not_supported",
    );
    report.extend(b",no_information,not_supported,not_supported,true");
    report.extend(b",false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n");
    let body = format!(
        "{before}<Content>{}</Content>{after}",
        BASE64_STANDARD.encode(report)
    );
    Some(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}
