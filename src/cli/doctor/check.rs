//! One check, and what it came to.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::aws::errors::{is_refusal, service_error};
use crate::output::invocation::Invocation;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is as it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work.
    Failed,
    /// Nobody could tell.
    NotChecked,
}

impl State {
    /// The word for people.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::NotChecked => "not checked",
        }
    }

    /// The word for programs.
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

/// One check. Its texts may hold text from AWS's answers, so they are escaped where they are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) what: String,
    /// What it came to.
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// How to mend it, where something is to be mended.
    pub(super) mend: Option<String>,
    /// Whether it is mended in another account, with other credentials.
    pub(super) is_mended_elsewhere: bool,
    /// The accounts that it is about, where it is about some.
    pub(super) accounts: Vec<String>,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub(super) fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Ok, what, found, None)
    }

    /// It works, and somebody should know.
    #[must_use]
    pub(super) fn warning(
        what: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(State::Warning, what, found, Some(mend.into()))
    }

    /// It does not work.
    #[must_use]
    pub(super) fn failed(
        what: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(State::Failed, what, found, Some(mend.into()))
    }

    /// Nobody could tell.
    #[must_use]
    pub(super) fn not_checked(
        what: impl Into<String>,
        found: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        Self::new(State::NotChecked, what, found, mend)
    }

    fn new(
        state: State,
        what: impl Into<String>,
        found: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        Self {
            what: what.into(),
            state,
            found: found.into(),
            mend,
            is_mended_elsewhere: false,
            accounts: vec![],
        }
    }

    /// The same check, which is mended in another account.
    #[must_use]
    pub(super) fn mended_elsewhere(mut self) -> Self {
        self.is_mended_elsewhere = true;
        self
    }

    /// The same check, with commands for who called `invocation`.
    #[must_use]
    pub(super) fn shown_by(mut self, invocation: &Invocation) -> Self {
        // The profile is of this account.
        if !self.is_mended_elsewhere {
            self.mend = self.mend.map(|mend| invocation.on_same_aws(&mend));
        }
        self
    }

    /// The same check, about `accounts`.
    #[must_use]
    pub(super) fn about(mut self, accounts: Vec<String>) -> Self {
        self.accounts = accounts;
        self
    }
}

/// An answer, or why there is none.
pub(super) type Asked<T> = Result<T, Unasked>;

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unasked {
    /// What kept it from being answered.
    pub(super) why: Why,
    /// The permission that it takes.
    pub(super) permission: &'static str,
    /// The whole error.
    pub(super) text: String,
}

/// What kept a question from being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The caller may not ask.
    Denied,
    /// There is no such thing.
    Gone,
    /// Anything else: the service cannot be reached, or refused for another reason.
    Failed,
}

impl Unasked {
    /// Why a call that takes `permission` went wrong.
    pub(super) fn of<E>(permission: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.code().unwrap_or_default();
        let is_gone = ["NotFound", "NonExistent", "DoesNotExist"]
            .iter()
            .any(|part| code.contains(part));
        let why = match (is_refusal(error), is_gone) {
            (true, _) => Why::Denied,
            (false, true) => Why::Gone,
            (false, false) => Why::Failed,
        };
        Self {
            why,
            permission,
            text: service_error(permission, error).to_string(),
        }
    }

    /// The check of `what` that could not be made.
    #[must_use]
    pub(super) fn check(&self, what: impl Into<String>) -> Check {
        match self.why {
            Why::Denied => Check::not_checked(
                what,
                format!(
                    "access denied: the permission {} is missing",
                    self.permission
                ),
                Some(format!(
                    "allow {} to the role or profile in use, or name another one with --profile",
                    self.permission
                )),
            ),
            Why::Gone => Check::failed(
                what,
                format!("the stack made it, and it is there no more ({})", self.text),
                "somebody deleted it by hand, and `sam deploy` does not notice: take it out of the template, deploy, put \
                 it back, deploy again",
            ),
            Why::Failed => Check::not_checked(what, self.text.clone(), None),
        }
    }
}

/// What `judge` says of the answer, or the check that could not be made.
pub(super) fn judged<T>(what: &str, asked: Asked<T>, judge: impl FnOnce(T) -> Check) -> Check {
    match asked {
        Ok(facts) => judge(facts),
        Err(unasked) => unasked.check(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unasked(why: Why) -> Unasked {
        Unasked {
            why,
            permission: "sqs:GetQueueAttributes",
            text: "sqs:GetQueueAttributes failed: whatever".to_owned(),
        }
    }

    #[test]
    fn a_check_that_may_not_be_made_names_the_permission() {
        let check = unasked(Why::Denied).check("ChangesQueue");
        assert_eq!(check.state, State::NotChecked);
        assert!(check.found.contains("sqs:GetQueueAttributes"), "{check:?}");
    }

    #[test]
    fn what_is_gone_failed_and_what_cannot_be_asked_did_not() {
        assert_eq!(unasked(Why::Gone).check("x").state, State::Failed);
        assert_eq!(unasked(Why::Failed).check("x").state, State::NotChecked);
    }
}
