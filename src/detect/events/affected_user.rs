//! Whose keys a record is about.

use crate::detect::events::cloudtrail_record::CloudTrailRecord;

/// Whose keys a successful call changed, with the name as spelled in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AffectedUser {
    /// The account's root, acting on itself.
    Root,
    /// An IAM user.
    Named(String),
    /// The record does not say.
    Unknown,
}

/// Whose keys `record` is about.
///
/// Never the role's session issuer, root's `userName` (the account alias) or a name from an error
/// message: each of them is a different principal. Calls with temporary credentials must name the
/// user. Only an IAM user's own credentials may omit the name (IAM API reference, `UserName` of the
/// access key actions).
#[must_use]
pub(crate) fn affected_user(record: &CloudTrailRecord) -> AffectedUser {
    let present = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let asked_for = present(&record.request_parameters.user_name);
    let identity = &record.user_identity;
    let event = record.event_name.as_deref();

    // A name that CloudTrail omitted from a large record is not a name that the caller omitted.
    let caller_may_be_meant = asked_for.is_none()
        && record.request_parameters.omitted.as_deref() != Some("true")
        && !record.request_parameters.is_unreadable
        && matches!(
            event,
            Some("CreateAccessKey" | "UpdateAccessKey" | "DeleteAccessKey")
        );
    // Root comes first: the `userName` in the response to root's own CreateAccessKey is not an IAM
    // user's.
    if caller_may_be_meant && identity.is_root() {
        return AffectedUser::Root;
    }
    let answered = match event {
        Some("CreateAccessKey") => present(&record.response_elements.access_key.user_name),
        _ => None,
    };
    let is_iam_user = identity.kind.as_deref() == Some("IAMUser");
    let caller = || present(&identity.user_name).filter(|_| caller_may_be_meant && is_iam_user);

    answered
        .or(asked_for)
        .or_else(caller)
        .map_or(AffectedUser::Unknown, AffectedUser::Named)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(record: &Value, expected: &AffectedUser) {
        assert_eq!(
            &affected_user(&CloudTrailRecord::from_json(record)),
            expected,
            "{record}"
        );
    }

    fn named(name: &str) -> AffectedUser {
        AffectedUser::Named(name.to_owned())
    }

    #[test]
    fn root_for_itself_is_root_in_every_action() {
        for event in ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"] {
            check(
                &json!({"eventName": event, "requestParameters": null,
                    "responseElements": {"accessKey": {"userName": "my-alias", "accessKeyId": "AKIA1"}},
                    "userIdentity": {"type": "Root", "userName": "my-alias"}}),
                &AffectedUser::Root,
            );
        }
    }

    #[test]
    fn root_for_a_user_is_that_user() {
        check(
            &json!({"eventName": "CreateAccessKey", "requestParameters": {"userName": "alice"},
                "userIdentity": {"type": "Root", "userName": "my-alias"}}),
            &named("alice"),
        );
    }

    #[test]
    fn create_takes_the_answer_then_the_request_then_the_caller() {
        let mut record = json!({"eventName": "CreateAccessKey",
            "responseElements": {"accessKey": {"userName": "answered"}},
            "requestParameters": {"userName": "asked"},
            "userIdentity": {"type": "IAMUser", "userName": "caller"}});
        check(&record, &named("answered"));
        record["responseElements"] = Value::Null;
        check(&record, &named("asked"));
        record["requestParameters"] = Value::Null;
        check(&record, &named("caller"));
    }

    #[test]
    fn update_and_delete_take_the_request_then_the_caller() {
        for event in ["UpdateAccessKey", "DeleteAccessKey"] {
            let mut record = json!({"eventName": event,
                "requestParameters": {"userName": "asked", "accessKeyId": "AKIA1"},
                "userIdentity": {"type": "IAMUser", "userName": "caller"}});
            check(&record, &named("asked"));
            record["requestParameters"] = json!({"accessKeyId": "AKIA1"});
            check(&record, &named("caller"));
        }
    }

    #[test]
    fn a_role_without_a_user_name_names_nobody() {
        check(
            &json!({"eventName": "DeleteAccessKey", "requestParameters": {"accessKeyId": "AKIA1"},
                "errorMessage": "The user with name alice cannot be found.",
                "userIdentity": {"type": "AssumedRole", "userName": "session",
                    "sessionContext": {"sessionIssuer": {"userName": "the-role"}}}}),
            &AffectedUser::Unknown,
        );
        check(
            &json!({"eventName": "DeleteAccessKey", "userIdentity": {}}),
            &AffectedUser::Unknown,
        );
        check(
            &json!({"eventName": "DeleteAccessKey"}),
            &AffectedUser::Unknown,
        );
    }

    #[test]
    fn a_change_of_the_user_itself_takes_the_request_only() {
        for event in ["UpdateUser", "DeleteUser"] {
            check(
                &json!({"eventName": event, "requestParameters": {"userName": "asked"},
                    "userIdentity": {"type": "IAMUser", "userName": "caller"}}),
                &named("asked"),
            );
            check(
                &json!({"eventName": event, "requestParameters": null,
                    "userIdentity": {"type": "IAMUser", "userName": "caller"}}),
                &AffectedUser::Unknown,
            );
        }
    }
}
