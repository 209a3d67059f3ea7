//! Where the services that an alert needs are reached, as their clients resolve it.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use crate::aws::settings::Settings;

/// The URL of a service, or nothing where its client would fail too. The SDK's crates have no trait in common here.
macro_rules! url {
    ($sdk:ident, $service_id:literal, $config:expr) => {{
        use $sdk::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

        let config: &SdkConfig = $config;
        let params = Params::builder()
            .set_region(config.region().map(ToString::to_string))
            .set_use_fips(config.use_fips())
            .set_use_dual_stack(config.use_dual_stack())
            .set_endpoint(configured(config, $service_id))
            .build()
            .ok()?;
        let endpoint = DefaultResolver::new()
            .resolve_endpoint(&params)
            .await
            .ok()?;
        Some(endpoint.url().to_owned())
    }};
}

/// The URLs to which an alert connects on its way: each as often as it is asked side by side, but for the connection that
/// the first request opens by itself.
pub async fn of_an_alert(settings: &Settings, config: &SdkConfig) -> Vec<String> {
    let dynamodb = dynamodb(config).await;
    // The last uses of two keys are asked for at once.
    let iam = iam(config).await;
    let mut urls = vec![dynamodb, iam.clone(), iam];
    if settings.alert_topic_arn.is_some() {
        urls.push(sns(config).await);
    }
    if settings.event_bus_name.is_some() {
        urls.push(eventbridge(config).await);
    }
    urls.into_iter().flatten().collect()
}

async fn dynamodb(config: &SdkConfig) -> Option<String> {
    url!(aws_sdk_dynamodb, "DynamoDB", config)
}

async fn iam(config: &SdkConfig) -> Option<String> {
    url!(aws_sdk_iam, "IAM", config)
}

async fn sns(config: &SdkConfig) -> Option<String> {
    url!(aws_sdk_sns, "SNS", config)
}

async fn eventbridge(config: &SdkConfig) -> Option<String> {
    url!(aws_sdk_eventbridge, "EventBridge", config)
}

/// The URL that the environment names for the service, or for all.
fn configured(config: &SdkConfig, service_id: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service_id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let of_service = config.service_config().and_then(|all| all.load_config(key));
    of_service.or_else(|| config.endpoint_url().map(ToOwned::to_owned))
}
