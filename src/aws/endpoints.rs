//! The endpoints of the services that an alert needs, as their clients resolve them.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use crate::aws::settings::Settings;

/// The URL of a service, or nothing if its client would fail too. The SDK's crates share no trait
/// for this.
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

/// The URLs that an alert connects to. Each is listed as often as it is used in parallel, minus the
/// connection that its first request opens.
pub async fn alert_endpoints(settings: &Settings, config: &SdkConfig) -> Vec<String> {
    let dynamodb = dynamodb(config).await;
    // The last uses of two keys are requested in parallel.
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

/// The URL that the environment sets for this service or for all services.
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
