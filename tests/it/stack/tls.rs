//! TLS in front of servers on loopback, as in front of AWS: with a certificate of an issuer whom
//! nothing trusts by default, and on connections that stay open.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{fetch, proxy, relay};

/// An issuer, and a certificate of it for loopback.
pub struct Issuer {
    folder: TempDir,
    acceptor: TlsAcceptor,
}

impl Issuer {
    /// Makes an issuer and the certificate.
    pub async fn new() -> Self {
        tokio::task::spawn_blocking(|| {
            let folder = tempfile::tempdir().expect("a folder can be created");
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stack/certificate.py");
            // One of moto's dependencies makes certificates.
            let made = Command::new(fetch::moto())
                .args([script.as_ref(), folder.path().as_os_str()])
                .status();
            assert!(made.expect("Python runs").success());
            let acceptor = acceptor(&folder);
            Self { folder, acceptor }
        })
        .await
        .expect("a certificate can be made")
    }

    /// The certificate of the issuer, for `SSL_CERT_FILE`.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("issuer.pem")
    }

    /// Starts TLS in front of the server at `upstream_url`.
    pub fn front(&self, upstream_url: &str) -> Front {
        Front::start(upstream_url, self.acceptor.clone())
    }
}

fn acceptor(folder: &TempDir) -> TlsAcceptor {
    let path = |name: &str| folder.path().join(name);
    let chain = CertificateDer::pem_file_iter(path("server.pem"))
        .and_then(Iterator::collect)
        .expect("the certificate can be read");
    let key = PrivateKeyDer::from_pem_file(path("server-key.pem")).expect("the key can be read");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    TlsAcceptor::from(Arc::new(config.expect("the key is the certificate's")))
}

/// TLS in front of one server. It lives as long as the test process.
pub struct Front {
    pub url: String,
    connections: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Front {
    fn start(upstream_url: &str, acceptor: TlsAcceptor) -> Self {
        let upstream = upstream_url.trim_start_matches("http://").to_owned();
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(Mutex::new(vec![]));
        let shared = connections.clone();
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be created")
                .block_on(serve(listener, acceptor, upstream, shared));
        });
        Self {
            url: format!("https://localhost:{port}"),
            connections,
        }
    }

    /// The actions of the answered requests on each connection so far. A request that only opens a
    /// connection has the action `open`.
    pub fn connections(&self) -> Vec<Vec<String>> {
        self.connections
            .lock()
            .expect("no panic while locked")
            .clone()
    }
}

async fn serve(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    upstream: String,
    connections: Arc<Mutex<Vec<Vec<String>>>>,
) {
    listener
        .set_nonblocking(true)
        .expect("a listener can be set non-blocking");
    let listener = TcpListener::from_std(listener).expect("it is a listener");
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        let connections = connections.clone();
        tokio::spawn(async move {
            // The client notices a broken connection itself.
            let _ = one_connection(client, &acceptor, &upstream, &connections).await;
        });
    }
}

async fn one_connection(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    upstream: &str,
    connections: &Mutex<Vec<Vec<String>>>,
) -> std::io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let number = {
        let mut connections = connections.lock().expect("no panic while locked");
        connections.push(vec![]);
        connections.len() - 1
    };
    while let Some(request) = relay::read(&mut client).await? {
        let answer = relay::forward(&request, upstream).await?;
        client.write_all(&kept_open(&answer)).await?;
        client.flush().await?;
        let action = match proxy::action(&request) {
            none if none.is_empty() => "open".to_owned(),
            action => action,
        };
        let mut connections = connections.lock().expect("no panic while locked");
        connections[number].push(action);
    }
    Ok(())
}

/// `answer` with a length instead of the end of the connection.
fn kept_open(answer: &[u8]) -> Vec<u8> {
    let split = answer.windows(4).position(|end| end == b"\r\n\r\n");
    let (head, body) = answer.split_at(split.map_or(answer.len(), |at| at + 4));
    let head = String::from_utf8_lossy(head).replacen("HTTP/1.0", "HTTP/1.1", 1);
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let kept = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !line.is_empty() && name != "connection" && (is_chunked || name != "content-length")
    });
    let mut head = kept.collect::<Vec<_>>().join("\r\n");
    if !is_chunked {
        head = format!("{head}\r\nContent-Length: {}", body.len());
    }
    [format!("{head}\r\n\r\n").as_bytes(), body].concat()
}
