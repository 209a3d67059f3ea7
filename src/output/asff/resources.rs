//! The resources of a finding in ASFF: the user, its keys, its account.

use crate::output::asff::alert_json::{Finding, Key};
use crate::output::asff::texts::{MAX_NAME_CHARS, shown};
use crate::output::asff::wire::{Details, KeyDetails, Resource, UserDetails};
use crate::output::time::rfc3339;

/// The most keys that are shown. A finding may have 32 resources in total.
const MAX_KEYS: usize = 30;

/// The longest text that is accepted as an ARN. IAM's have at most about 600 characters.
const MAX_ARN_CHARS: usize = 1_000;

pub(super) fn resources(finding: &Finding, partition: &'static str) -> Vec<Resource> {
    let account = Resource {
        kind: "AwsAccount",
        id: format!("AWS::::Account:{}", shown(&finding.account, MAX_NAME_CHARS)),
        partition,
        details: None,
    };
    let keys = finding.keys.iter().take(MAX_KEYS);
    user(finding, partition)
        .into_iter()
        .chain(keys.map(|key| access_key(key, finding, partition)))
        .chain([account])
        .collect()
}

/// The user; `None` for root, which is the account itself.
fn user(finding: &Finding, partition: &'static str) -> Option<Resource> {
    if finding.is_root {
        return None;
    }
    let name = shown(&finding.user, MAX_NAME_CHARS);
    // The ARN includes the user's path, which only the user's own call contains. Without the path
    // it would be another user's.
    let id = finding
        .user_arn()
        .filter(|arn| arn.len() <= MAX_ARN_CHARS)
        .map_or_else(
            || {
                let account = shown(&finding.account, MAX_NAME_CHARS);
                format!("AWS::IAM::User:{account}/{name}")
            },
            str::to_owned,
        );
    Some(Resource {
        kind: "AwsIamUser",
        id,
        partition,
        details: Some(Details::AwsIamUser(UserDetails { user_name: name })),
    })
}

fn access_key(key: &Key, finding: &Finding, partition: &'static str) -> Resource {
    let id = shown(&key.id, MAX_NAME_CHARS);
    let account_id = shown(&finding.account, MAX_NAME_CHARS);
    let (principal_name, principal_type, of) = if finding.is_root {
        // Root's keys are named after their slot in the credential report, the same in every
        // account.
        ("root".to_owned(), "Root", format!("{account_id}/root/"))
    } else {
        (
            shown(&finding.user, MAX_NAME_CHARS),
            "IAMUser",
            String::new(),
        )
    };
    Resource {
        kind: "AwsIamAccessKey",
        id: format!("AWS::IAM::AccessKey:{of}{id}"),
        partition,
        details: Some(Details::AwsIamAccessKey(KeyDetails {
            access_key_id: id,
            account_id,
            principal_name,
            principal_type,
            status: ["Active", "Inactive"]
                .into_iter()
                .find(|status| *status == key.status),
            created_at: key.created.map(rfc3339),
        })),
    }
}
