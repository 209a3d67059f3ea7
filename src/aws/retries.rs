//! Limits the retries of calls to a service that is down or unreachable.

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;

/// How often a call is sent to a service that is down or refuses connections.
const ATTEMPTS_DURING_OUTAGE: u32 = 3;

/// How often a call is sent to a service that does not answer in time.
const ATTEMPTS_WITHOUT_ANSWER: u32 = 2;

/// Ends the retries of an outage early, and leaves those of throttling to the client's own limit. A
/// throttled call succeeds if the client waits long enough; a wrong endpoint or a broken network
/// must be reported within seconds.
#[derive(Debug)]
pub(crate) struct OutageLimit;

impl ClassifyRetry for OutageLimit {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(
        &self,
        context: &InterceptorContext,
        previous: &RetryAction,
    ) -> RetryAction {
        let RetryAction::RetryIndicated(reason) = previous else {
            return RetryAction::NoActionIndicated;
        };
        if matches!(reason, RetryReason::RetryableError { kind, .. } if *kind == ErrorKind::ThrottlingError)
        {
            return RetryAction::NoActionIndicated;
        }
        let is_unanswered = context
            .output_or_error()
            .is_some_and(|result| result.is_err_and(OrchestratorError::is_timeout_error));
        let limit = if is_unanswered {
            ATTEMPTS_WITHOUT_ANSWER
        } else {
            ATTEMPTS_DURING_OUTAGE
        };
        if attempt(context) < limit {
            RetryAction::NoActionIndicated
        } else {
            RetryAction::RetryForbidden
        }
    }

    fn name(&self) -> &'static str {
        "outage limit"
    }

    // It limits what the classifiers of the SDK have decided.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// A client for IAM with this limit.
#[must_use]
pub(crate) fn iam_client(config: &SdkConfig) -> aws_sdk_iam::Client {
    let config = aws_sdk_iam::config::Builder::from(config).retry_classifier(OutageLimit);
    aws_sdk_iam::Client::from_conf(config.build())
}

/// The number of the attempt, from 1 on. Every SDK sends it in a header. Source: AWS SDKs and tools
/// reference guide, retry behavior.
fn attempt(context: &InterceptorContext) -> u32 {
    context
        .request()
        .and_then(|request| request.headers().get("amz-sdk-request"))
        .and_then(|pairs| {
            let mut pairs = pairs.split(';').map(str::trim);
            pairs.find_map(|pair| pair.strip_prefix("attempt="))
        })
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}
