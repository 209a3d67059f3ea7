//! What a finding is about, as OCSF has it: the user and its keys.

use crate::detect::finding::{Finding, FindingKey};
use crate::detect::retire::LastUsed;
use crate::detect::verdict::Verdict;
use crate::output::facts::{user_arn, user_name};
use crate::output::ocsf::milliseconds;
use crate::output::ocsf::wire::evidence::User;
use crate::output::ocsf::wire::{Account, KeyData, Resource};
use crate::output::standing::Standing;

/// The user, then each key.
pub(super) fn resources(standing: &Standing) -> Vec<Resource> {
    let keys = &standing.alert.finding.keys;
    [user(&standing.alert.finding)]
        .into_iter()
        .chain(keys.iter().map(|key| access_key(key, standing)))
        .collect()
}

/// The AWS account `id`.
pub(super) fn account(id: &str) -> Account {
    Account {
        uid: id.to_owned(),
        kind: "AWS Account",
        type_id: 10,
    }
}

/// The user; for root, its account.
fn user(finding: &Finding) -> Resource {
    let user = finding.user();
    let (kind, uid) = if user.is_root() {
        ("AWS::::Account", user.account().to_owned())
    } else {
        // Without its path, which only the user's own call tells, an ARN would be another user's.
        let uid = user_arn(finding).map_or_else(
            || format!("{}/{}", user.account(), finding.display_name),
            str::to_owned,
        );
        ("AWS::IAM::User", uid)
    };
    Resource {
        uid,
        name: Some(user_name(finding).to_owned()),
        kind,
        role: "Affected",
        role_id: 3,
        created_time: None,
        owner: None,
        data: None,
    }
}

fn access_key(key: &FindingKey, standing: &Standing) -> Resource {
    let finding = &standing.alert.finding;
    let verdict = standing.verdict();
    let used = standing.last_uses.get(&key.id);
    let (last_used_time, service, region) = match used {
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => (Some(milliseconds(*at)), service.clone(), region.clone()),
        Some(LastUsed::Never) | None => (None, None, None),
    };
    Resource {
        uid: key.id.clone(),
        name: None,
        kind: "AWS::IAM::AccessKey",
        role: "Affected",
        role_id: 3,
        created_time: key.created.map(milliseconds),
        owner: Some(User {
            name: user_name(finding).to_owned(),
            uid: user_arn(finding).map(str::to_owned),
            kind: None,
            type_id: None,
            account: Some(account(finding.user().account())),
        }),
        data: Some(KeyData {
            status: key.status.word(),
            was_used: used.map(|used| *used != LastUsed::Never),
            last_used_time,
            last_used_service: service,
            last_used_region: region,
            is_to_retire: verdict.as_ref().and_then(Verdict::key) == Some(&key.id),
        }),
    }
}
