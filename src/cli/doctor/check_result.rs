//! The result of one check.

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use thiserror::Error;

use crate::aws::sdk_errors::{is_refusal, service_error};
use crate::output::invocation::Invocation;

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckStatus {
    /// Everything is fine.
    Ok,
    /// It works, but the operator should know about it.
    Warning,
    /// It does not work.
    Failed,
    /// The check could not be made.
    NotChecked,
}

impl CheckStatus {
    /// The word in text.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::NotChecked => "not checked",
        }
    }

    /// The word in JSON.
    #[must_use]
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not_checked",
        }
    }
}

/// Where a fix is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FixPlace {
    /// In the account and region of this run.
    Here,
    /// In this account, in another region, which the commands of the fix name.
    OtherRegion,
    /// In another account, with other credentials.
    OtherAccount,
}

/// The result of one check. It may contain text from AWS, so it is escaped when it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckResult {
    /// What was checked.
    pub(super) subject: String,
    /// The state.
    pub(super) state: CheckStatus,
    /// What was found.
    pub(super) found: String,
    /// How to fix it, if something is wrong.
    pub(super) fix: Option<String>,
    /// Where the fix is needed.
    pub(super) fixed_in: FixPlace,
    /// The accounts that it is about, if any.
    pub(super) accounts: Vec<String>,
}

impl CheckResult {
    /// A check that passed.
    #[must_use]
    pub(super) fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(CheckStatus::Ok, what, found, None)
    }

    /// A check with a warning.
    #[must_use]
    pub(super) fn warning(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(CheckStatus::Warning, what, found, Some(fix.into()))
    }

    /// A check that failed.
    #[must_use]
    pub(super) fn failed(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(CheckStatus::Failed, what, found, Some(fix.into()))
    }

    /// A check that could not be made.
    #[must_use]
    pub(super) fn not_checked(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self::new(CheckStatus::NotChecked, what, found, fix)
    }

    fn new(
        state: CheckStatus,
        what: impl Into<String>,
        found: impl Into<String>,
        fix: Option<String>,
    ) -> Self {
        Self {
            subject: what.into(),
            state,
            found: found.into(),
            fix,
            fixed_in: FixPlace::Here,
            accounts: vec![],
        }
    }

    /// Marks the check as one that is fixed in `place`.
    #[must_use]
    pub(super) fn fixed_in(mut self, place: FixPlace) -> Self {
        self.fixed_in = place;
        self
    }

    /// Adds the profile and region of `invocation` to the commands of the fix, as far as they are
    /// right where the fix is needed.
    #[must_use]
    pub(super) fn shown_by(mut self, invocation: &Invocation) -> Self {
        let invocation = match self.fixed_in {
            FixPlace::Here => invocation.clone(),
            FixPlace::OtherRegion => Invocation {
                region: None,
                ..invocation.clone()
            },
            // The profile belongs to this account.
            FixPlace::OtherAccount => return self,
        };
        self.fix = self.fix.map(|fix| invocation.on_same_aws(&fix));
        self
    }

    /// Sets the accounts that the check is about.
    #[must_use]
    pub(super) fn about(mut self, accounts: Vec<String>) -> Self {
        self.accounts = accounts;
        self
    }
}

/// The answer of AWS, or why there is none.
pub(super) type QueryResult<T> = Result<T, QueryError>;

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub(super) struct QueryError {
    /// The kind of the failure.
    pub(super) kind: QueryErrorKind,
    /// The permission that the query needs.
    pub(super) permission: &'static str,
    /// The full error message.
    pub(super) text: String,
}

/// The kind of a failed query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryErrorKind {
    /// The caller lacks the permission.
    Denied,
    /// The resource does not exist.
    Gone,
    /// Anything else, for example: the service is unreachable.
    Failed,
}

impl QueryError {
    /// Classifies the error of a call that needs `permission`.
    pub(super) fn of<E>(permission: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = error.code().unwrap_or_default();
        let is_gone = ["NotFound", "NonExistent", "DoesNotExist"]
            .iter()
            .any(|part| code.contains(part));
        let why = match (is_refusal(error), is_gone) {
            (true, _) => QueryErrorKind::Denied,
            (false, true) => QueryErrorKind::Gone,
            (false, false) => QueryErrorKind::Failed,
        };
        Self {
            kind: why,
            permission,
            text: service_error(permission, error).to_string(),
        }
    }

    /// The result of the check of `what`, for which the query failed.
    #[must_use]
    pub(super) fn check(&self, what: impl Into<String>) -> CheckResult {
        match self.kind {
            QueryErrorKind::Denied => CheckResult::not_checked(
                what,
                format!(
                    "access denied: the permission {} is missing",
                    self.permission
                ),
                Some(format!(
                    "allow {} for the role or profile in use, or choose another one with --profile",
                    self.permission
                )),
            ),
            QueryErrorKind::Gone => CheckResult::failed(
                what,
                format!(
                    "the stack created it, but it no longer exists ({})",
                    self.text
                ),
                "it was deleted outside CloudFormation, and `sam deploy` does not notice that: remove it from the \
                 template and deploy, then add it again and deploy",
            ),
            QueryErrorKind::Failed => CheckResult::not_checked(what, self.text.clone(), None),
        }
    }
}

/// The check that `judge` makes from the answer, or the check for a failed query.
pub(super) fn evaluate<T>(
    what: &str,
    result: QueryResult<T>,
    judge: impl FnOnce(T) -> CheckResult,
) -> CheckResult {
    match result {
        Ok(facts) => judge(facts),
        Err(error) => error.check(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(why: QueryErrorKind) -> QueryError {
        QueryError {
            kind: why,
            permission: "sqs:GetQueueAttributes",
            text: "sqs:GetQueueAttributes failed: whatever".to_owned(),
        }
    }

    #[test]
    fn a_fix_gets_the_options_that_are_right_where_it_is_needed() {
        let invocation = Invocation {
            profile: Some("security".to_owned()),
            region: Some("eu-central-1".to_owned()),
            ..Invocation::default()
        };
        for (place, expected) in [
            (
                FixPlace::Here,
                "aws x y --profile security --region eu-central-1",
            ),
            (FixPlace::OtherRegion, "aws x y --profile security"),
            (FixPlace::OtherAccount, "aws x y"),
        ] {
            let check = CheckResult::failed("x", "y", "aws x y").fixed_in(place);
            assert_eq!(check.shown_by(&invocation).fix.unwrap(), expected);
        }
    }

    #[test]
    fn a_denied_check_names_the_permission() {
        let check = error(QueryErrorKind::Denied).check("ChangesQueue");
        assert_eq!(check.state, CheckStatus::NotChecked);
        assert!(check.found.contains("sqs:GetQueueAttributes"), "{check:?}");
    }

    #[test]
    fn a_missing_resource_fails_and_a_failed_query_is_not_checked() {
        assert_eq!(
            error(QueryErrorKind::Gone).check("x").state,
            CheckStatus::Failed
        );
        assert_eq!(
            error(QueryErrorKind::Failed).check("x").state,
            CheckStatus::NotChecked
        );
    }
}
