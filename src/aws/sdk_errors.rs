//! Turns SDK errors into one sentence each: what failed, why, and what fixes it.

use std::error::Error;

use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::detect::usage::key_use::NOT_AUTHENTICATED;
use crate::pipeline::error::ServiceError;

/// SNS's code for its `ThrottledException`, which the SDK's list lacks. Source: SNS API reference,
/// errors.
const THROTTLED_BY_SNS: &str = "Throttled";

/// Error codes for missing permissions.
const DENIED: [&str; 5] = [
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
];

/// The HTTP status of a refusal.
const FORBIDDEN: u16 = 403;

/// The lowest HTTP status with which a service reports its own fault.
const BROKEN: u16 = 500;

/// Describes the error of `what`, which names the action and its target: ``dynamodb:GetItem on
/// table `findings` ``.
///
/// The error is retryable if the service was unreachable, busy or broken, and not if it refused the
/// request.
#[must_use]
pub(crate) fn service_error<E>(what: &str, error: &SdkError<E, HttpResponse>) -> ServiceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => {
            ServiceError::retryable(format!("{what} failed: no answer in time"))
        }
        SdkError::ResponseError(_) => {
            ServiceError::retryable(format!("{what} failed: the answer could not be read"))
        }
        // A dispatch failure with a kind is transient, such as a broken connection.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            unsent_error(what, &root_cause(error))
        }
        SdkError::DispatchFailure(_) => ServiceError::retryable(format!(
            "{what} failed: the service cannot be reached ({}); check the network, the region and `AWS_ENDPOINT_URL`",
            root_cause(error)
        )),
        SdkError::ServiceError(answer) => {
            refusal_error(what, answer.err(), Some(answer.raw().status().as_u16()))
        }
        SdkError::ConstructionFailure(_) => unsent_error(what, &root_cause(error)),
        _ => ServiceError::retryable(format!(
            "{what} failed for a reason that this release does not know"
        )),
    }
}

/// Explains a service's refusal.
fn refusal_error(
    what: &str,
    error: &impl ProvideErrorMetadata,
    status: Option<u16>,
) -> ServiceError {
    let code = error.code().unwrap_or("no error code");
    let message = error.message().unwrap_or("no further explanation");
    if is_throttling(code) {
        return ServiceError::retryable(format!(
            "{what} failed: AWS throttles the calls ({code}); try again"
        ));
    }
    if is_denied(error.code(), status) {
        return ServiceError::permanent(format!(
            "{what} failed: access denied; grant the permission to the role or profile in use ({message})"
        ));
    }
    if NOT_AUTHENTICATED.contains(&code) {
        return ServiceError::unauthenticated(format!(
            "{what} failed: the AWS credentials are invalid or have expired ({code}: {message}); sign in again, or name another profile with --profile"
        ));
    }
    let is_their_fault = code.starts_with("InternalServer")
        || code.starts_with("InternalFailure")
        || code.starts_with("InternalError")
        || code.starts_with("ServiceUnavailable")
        || code == "RequestTimeout"
        || status.is_some_and(|status| status >= BROKEN)
        // A proxy or a broken service answers without a code.
        || error.code().is_none();
    let status = status.map_or_else(String::new, |status| format!(" with HTTP status {status}"));
    let text = format!("{what} failed{status}: {code}: {message}");
    if is_their_fault {
        ServiceError::retryable(text)
    } else {
        ServiceError::permanent(text)
    }
}

/// Whether the service refused because of missing permissions, which a retry does not change.
#[must_use]
pub(crate) fn is_refusal<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    error.as_service_error().is_some() && is_denied(error.code(), status)
}

fn is_denied(code: Option<&str>, status: Option<u16>) -> bool {
    match code {
        Some(code) => DENIED.contains(&code),
        // An endpoint policy or a proxy refuses without a code.
        None => status == Some(FORBIDDEN),
    }
}

/// Whether `code` means that the caller sends requests too fast.
#[must_use]
pub(crate) fn is_throttling(code: &str) -> bool {
    THROTTLING_ERRORS.contains(&code) || code == THROTTLED_BY_SNS
}

/// A request that was never sent: credentials or the region are missing, or the request is invalid.
fn unsent_error(what: &str, cause: &str) -> ServiceError {
    // The first line names what is missing; the others list where it was searched for.
    let cause = cause.lines().next().unwrap_or_default();
    let cause = cause
        .trim_end_matches("Attempted:")
        .trim_end_matches([' ', '.']);
    let lower = cause.to_lowercase();
    // The SDK's types for these errors are not public in the crates used here, so their messages
    // are matched.
    if lower.contains("region") {
        return ServiceError::permanent(format!(
            "{what} failed: no AWS region is set; name one with --region, `AWS_REGION` or the profile"
        ));
    }
    if let Some((profile, _)) = cause.split_once(" was not defined") {
        return ServiceError::permanent(format!(
            "{what} failed: {profile} is not in the AWS configuration; name another with --profile, or create it with \
             `aws configure --profile NAME`"
        ));
    }
    if lower.contains("provider was not enabled") || lower.contains("error already taken") {
        return ServiceError::permanent(format!(
            "{what} failed: the profile is not in the AWS configuration, or has no usable credentials; sign in, or name another \
             with --profile"
        ));
    }
    if lower.contains("no identity resolver") {
        return ServiceError::permanent(format!(
            "{what} failed: no AWS credentials are set; sign in, or name a profile with --profile"
        ));
    }
    if ["credential", "token", "sso", "imds"]
        .iter()
        .any(|word| lower.contains(word))
    {
        return ServiceError::permanent(format!(
            "{what} failed: no usable AWS credentials ({cause}); sign in, or name another profile with --profile"
        ));
    }
    ServiceError::permanent(format!("{what} failed before it was sent: {cause}"))
}

/// The innermost cause of `error`, which is the most specific.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::{Client, Config};

    use super::*;
    use crate::pipeline::error::ErrorKind;

    const WHAT: &str = "dynamodb:GetItem on table `findings`";

    #[track_caller]
    fn check(error: &ServiceError, kind: ErrorKind, expected: &str) {
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.starts_with(WHAT), "{text}");
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
        assert!(
            !text.contains('{') && !text.contains("::"),
            "a Debug dump: {text}"
        );
    }

    fn answer(code: &str) -> ServiceError {
        let metadata = ErrorMetadata::builder()
            .code(code)
            .message("in AWS's words")
            .build();
        refusal_error(WHAT, &metadata, Some(400))
    }

    #[test]
    fn a_refusal_names_its_fix() {
        check(
            &answer("AccessDeniedException"),
            ErrorKind::Permanent,
            "access denied; grant the permission to the role or profile in use (in AWS's words)",
        );
        check(
            &answer("ExpiredTokenException"),
            ErrorKind::Permanent,
            "credentials are invalid or have expired",
        );
        check(
            &answer("ThrottlingException"),
            ErrorKind::Retryable,
            "throttles",
        );
        check(
            &answer("InternalServerError"),
            ErrorKind::Retryable,
            "in AWS's words",
        );
        check(
            &answer("ValidationException"),
            ErrorKind::Permanent,
            "failed with HTTP status 400: ValidationException: in AWS's words",
        );
        check(
            &refusal_error(WHAT, &ErrorMetadata::builder().build(), Some(502)),
            ErrorKind::Retryable,
            "failed with HTTP status 502: no error code: no further explanation",
        );
        let unknown = ErrorMetadata::builder().code("OutOfOrder").build();
        check(
            &refusal_error(WHAT, &unknown, Some(500)),
            ErrorKind::Retryable,
            "OutOfOrder",
        );
    }

    #[test]
    fn every_throttling_code_of_the_sdk_can_be_retried() {
        for code in THROTTLING_ERRORS.iter().chain(["Throttled"].iter()) {
            check(&answer(code), ErrorKind::Retryable, "throttles");
        }
    }

    #[test]
    fn only_rejected_credentials_are_unauthenticated() {
        for code in NOT_AUTHENTICATED {
            assert!(answer(code).is_unauthenticated(), "{code}");
        }
        for code in ["AccessDenied", "ThrottlingException", "ValidationError"] {
            assert!(!answer(code).is_unauthenticated(), "{code}");
        }
    }

    /// The error of a call with a client that `configure` leaves incomplete. It never leaves the
    /// machine.
    async fn error_of_call(configure: impl FnOnce(Builder) -> Builder) -> ServiceError {
        let config = configure(Config::builder().behavior_version(BehaviorVersion::latest()));
        let error = Client::from_conf(config.build())
            .get_item()
            .table_name("findings")
            .key(
                "PK",
                aws_sdk_dynamodb::types::AttributeValue::S("x".to_owned()),
            )
            .send()
            .await
            .unwrap_err();
        service_error(WHAT, &error)
    }

    #[test]
    fn a_missing_or_unusable_profile_is_reported_with_its_fix() {
        for (cause, expected) in [
            (
                "profile `nope` was not defined: could not find source profile nope referenced from the root profile",
                "profile `nope` is not in the AWS configuration; name another with --profile",
            ),
            (
                "the credential provider was not enabled",
                "the profile is not in the AWS configuration, or has no usable credentials",
            ),
            (
                "profile file credentials provider initialization error already taken",
                "the profile is not in the AWS configuration, or has no usable credentials",
            ),
        ] {
            check(&unsent_error(WHAT, cause), ErrorKind::Permanent, expected);
        }
    }

    #[tokio::test]
    async fn missing_credentials_are_reported_with_their_fix() {
        let error = error_of_call(|config| config.region(Region::new("us-east-1"))).await;
        check(&error, ErrorKind::Permanent, "no AWS credentials are set");
    }

    #[tokio::test]
    async fn a_missing_region_is_reported_with_its_fix() {
        let error = error_of_call(|config| {
            config.credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        })
        .await;
        check(&error, ErrorKind::Permanent, "no AWS region is set");
    }
}
