//! One HTTP request taken in whole and handed on, for whoever stands between a client and a server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The request line and the headers, with the empty line that ends them.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The request that `client` sends; nothing if it breaks off.
pub async fn read(client: &mut TcpStream) -> std::io::Result<Option<Request>> {
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

/// The answer of the server at `upstream` to `request`, head and body.
pub async fn forward(request: &Request, upstream: &str) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).await?;
    let head = request
        .head
        .replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await?;
    server.write_all(&request.body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}
