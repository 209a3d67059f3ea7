//! The connections of a process: one pool for all its clients, and those that stand before somebody asks for them.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::byte_stream::ByteStream;
use tracing::debug;

/// How long a connection may take to open; that of the SDK's own clients.
const OPENS_WITHIN: Duration = Duration::from_millis(3_100);

/// One pool of connections. The SDK's own default sets up TLS anew for each client, and throws most of it away; and a client
/// that is made for one call takes its connection with it.
#[derive(Debug, Clone)]
pub struct Connections {
    pool: SharedHttpConnector,
}

impl Connections {
    /// No connections yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it reads the system's certificates"
    )]
    pub fn new() -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(OPENS_WITHIN)
            .build();
        let pool = Connector::builder()
            .connector_settings(settings)
            // As the SDK's own clients: HTTPS_PROXY and its like are heeded.
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Self {
            pool: SharedHttpConnector::new(pool),
        }
    }

    /// The configuration of a function that works over these connections. Lambda puts the credentials into the
    /// environment, so nothing else is searched for them.
    #[must_use]
    pub fn config(&self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.clone())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
    }

    /// Begins to open a connection to each of `urls`, side by side.
    pub fn open_ahead(&self, urls: impl IntoIterator<Item = String>) {
        for url in urls {
            tokio::spawn(open(self.pool.clone(), url));
        }
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.pool.clone()
    }
}

/// Asks for the root of a service, which needs no credentials and tells nothing; its connection is kept for the next
/// request. If that fails, whoever asks next opens one.
async fn open(pool: SharedHttpConnector, url: String) {
    let mut request = HttpRequest::empty();
    if let Err(error) = request.set_uri(url.as_str()) {
        debug!(url, %error, "no connection was opened ahead");
        return;
    }
    match pool.call(request).await {
        // Only a connection whose answer was read to the end is used again.
        Ok(answer) => drop(ByteStream::new(answer.into_body()).collect().await),
        Err(error) => debug!(url, %error, "no connection was opened ahead"),
    }
}
