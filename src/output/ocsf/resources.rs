//! The resources of a finding in OCSF: the user and its keys.

use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::finding::{Finding, FindingKey};
use crate::detect::usage::last_use::LastUsed;
use crate::output::facts::{user_arn, user_name};
use crate::output::ocsf::milliseconds;
use crate::output::ocsf::wire::evidences::User;
use crate::output::ocsf::wire::{Account, KeyData, Resource};
use crate::output::snapshot::FindingSnapshot;

/// The user, then each key.
pub(super) fn resources(snapshot: &FindingSnapshot) -> Vec<Resource> {
    let keys = &snapshot.alert.finding.keys;
    [user(&snapshot.alert.finding)]
        .into_iter()
        .chain(keys.iter().map(|key| access_key(key, snapshot)))
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
        // The ARN includes the user's path, which only the user's own call contains. Without the
        // path it would be another user's.
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

fn access_key(key: &FindingKey, snapshot: &FindingSnapshot) -> Resource {
    let finding = &snapshot.alert.finding;
    let verdict = snapshot.verdict();
    let used = snapshot.last_uses.get(&key.id);
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
