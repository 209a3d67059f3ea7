//! The connections of a process: one pool for all its clients, and those that stand before somebody asks for them.

use std::sync::{Arc, OnceLock};
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
use futures::future::join_all;
use tracing::debug;

/// How long a connection may take to open; that of the SDK's own clients.
const OPENS_WITHIN: Duration = Duration::from_millis(3_100);

/// One pool of connections for all clients. The SDK's own default sets up TLS anew for each client, every root certificate of
/// the system with it, and throws most of that away; and a client that is made for one call takes its connection with it.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    pool: Arc<OnceLock<SharedHttpConnector>>,
}

impl Connections {
    /// The configuration of a function that works over these connections. Lambda puts the credentials into the
    /// environment, so they are not searched for elsewhere.
    #[must_use]
    pub fn config(&self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.clone())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
    }

    /// Begins to open a connection to each of `urls`, side by side, while the function asks for its first event.
    pub fn open_ahead(&self, urls: Vec<String>) {
        let connections = self.clone();
        tokio::spawn(async move {
            let setting_up = connections.clone();
            // Reading the certificates takes as long as the rest of a start, so it does not hold up the rest.
            let _ = tokio::task::spawn_blocking(move || setting_up.pool()).await;
            join_all(urls.into_iter().map(|url| open(connections.pool(), url))).await;
        });
    }

    fn pool(&self) -> SharedHttpConnector {
        self.pool.get_or_init(set_up).clone()
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.pool()
    }
}

fn set_up() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(OPENS_WITHIN)
        .build();
    let pool = Connector::builder()
        .connector_settings(settings)
        // As the SDK's own clients: HTTPS_PROXY and its like are heeded.
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    SharedHttpConnector::new(pool)
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
