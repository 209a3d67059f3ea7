//! The connections of a process: one pool for all its clients, and connections that are opened
//! ahead of their first use.

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

/// The connection timeout, the same as in the SDK's own clients.
const OPENS_WITHIN: Duration = Duration::from_millis(3_100);

/// One pool of connections for all clients. By default the SDK sets up TLS, including every root
/// certificate of the system, for each client, and a client that is created for one call closes its
/// connection.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    pool: Arc<OnceLock<SharedHttpConnector>>,
}

impl Connections {
    /// The configuration of a function that uses these connections. Lambda sets the credentials in
    /// the environment, so no other source is searched.
    #[must_use]
    pub fn config(&self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.clone())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
    }

    /// Starts to open a connection to each of `urls` in parallel, while the function requests its
    /// first event.
    pub fn open_ahead(&self, urls: Vec<String>) {
        let connections = self.clone();
        tokio::spawn(async move {
            let setting_up = connections.clone();
            // Reading the certificates takes as long as the rest of the start, so it runs in
            // parallel.
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
        // Like the SDK's own clients, this respects HTTPS_PROXY and related variables.
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    SharedHttpConnector::new(pool)
}

/// Requests the root path of a service, which needs no credentials and reveals nothing. The
/// connection stays open for the next request. If this fails, the next request opens its own
/// connection.
async fn open(pool: SharedHttpConnector, url: String) {
    let mut request = HttpRequest::empty();
    if let Err(error) = request.set_uri(url.as_str()) {
        debug!(url, %error, "could not open a connection ahead of time");
        return;
    }
    match pool.call(request).await {
        // A connection is reused only after its response was read to the end.
        Ok(answer) => drop(ByteStream::new(answer.into_body()).collect().await),
        Err(error) => debug!(url, %error, "could not open a connection ahead of time"),
    }
}
