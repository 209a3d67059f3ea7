//! What a finding is about, as ASFF has it: the user, its keys, its account.

use crate::output::asff::alert::{Finding, Key};
use crate::output::asff::texts::{LONGEST_NAME, shown};
use crate::output::asff::wire::{Details, KeyDetails, Resource, UserDetails};
use crate::output::time::rfc3339;

/// The most keys of a finding; it may have 32 resources in all.
const MOST_KEYS: usize = 30;

/// The longest ARN that is taken for one; IAM's end at some 600.
const LONGEST_ARN: usize = 1_000;

pub(super) fn resources(finding: &Finding, partition: &'static str) -> Vec<Resource> {
    let account = Resource {
        kind: "AwsAccount",
        id: format!("AWS::::Account:{}", shown(&finding.account, LONGEST_NAME)),
        partition,
        details: None,
    };
    let keys = finding.keys.iter().take(MOST_KEYS);
    user(finding, partition)
        .into_iter()
        .chain(keys.map(|key| access_key(key, finding, partition)))
        .chain([account])
        .collect()
}

/// The user; none for root, who is the account.
fn user(finding: &Finding, partition: &'static str) -> Option<Resource> {
    if finding.is_root {
        return None;
    }
    let name = shown(&finding.user, LONGEST_NAME);
    // Without its path, which only the user's own call tells, an ARN would be another user's.
    let id = finding
        .user_arn()
        .filter(|arn| arn.len() <= LONGEST_ARN)
        .map_or_else(
            || {
                let account = shown(&finding.account, LONGEST_NAME);
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
    let id = shown(&key.id, LONGEST_NAME);
    let account_id = shown(&finding.account, LONGEST_NAME);
    let (principal_name, principal_type, of) = if finding.is_root {
        // Root's are named by their slot in the credential report, alike in every account.
        ("root".to_owned(), "Root", format!("{account_id}/root/"))
    } else {
        (shown(&finding.user, LONGEST_NAME), "IAMUser", String::new())
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
