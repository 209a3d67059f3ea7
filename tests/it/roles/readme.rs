//! The table in `infra/README.md` with the permissions of each role.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::policies::{AUDIT, central, member, statements};
use crate::stack::cloudformation::Known;

/// The role's name in the table and in the templates.
const ROLES: [(&str, &str); 5] = [
    ("detector", "DetectorRole"),
    ("sweeper", "SweeperRole"),
    ("securityhub", "SecurityHubRole"),
    ("members' role", AUDIT),
    ("members' forwarding role", "ForwardRole"),
];

/// How a row begins whose role has the same permissions as another, except for the partitions that
/// the row names.
const AS_THE_DETECTOR: &str = "as the detector";

/// Each action of a role, and the partitions of the table that it is allowed on.
type Permissions = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_readme_names_every_action_of_every_role_and_no_other() {
    let told = told();
    let (central, member) = (central(&Known::default()), member());
    assert_eq!(told.len(), ROLES.len(), "{:?}", told.keys());
    for (name, role) in ROLES {
        let template = if central["Resources"][role].is_null() {
            &member
        } else {
            &central
        };
        let mut allowed = Permissions::new();
        for statement in statements(template, role) {
            let partitions = statement.leading_keys().unwrap_or_default();
            let partitions: BTreeSet<String> = partitions
                .iter()
                .map(|key| key.trim_end_matches('*').to_owned())
                .collect();
            for action in &statement.actions {
                let known = allowed.entry(action.clone()).or_default();
                known.extend(partitions.clone());
            }
        }
        assert_eq!(told[name], allowed, "{name}");
    }
}

/// The content of the README.
fn told() -> BTreeMap<String, Permissions> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Permissions\n").unwrap();
    let rows = section
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut told: BTreeMap<String, Permissions> = BTreeMap::new();
    let mut role = String::new();
    for row in rows {
        let cells: Vec<&str> = row
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim_matches([' ', '|']))
            .collect();
        if !cells[0].is_empty() {
            cells[0].clone_into(&mut role);
        }
        let permissions = if cells[1].starts_with(AS_THE_DETECTOR) {
            let (_, without) = cells[1].split_once("without").unwrap_or_default();
            let without: BTreeSet<String> = code(without).into_iter().collect();
            let mut same = told["detector"].clone();
            for partitions in same.values_mut() {
                partitions.retain(|partition| !without.contains(partition));
            }
            same
        } else {
            row_permissions(&cells)
        };
        let known = told.entry(role.clone()).or_default();
        for (action, partitions) in permissions {
            known.entry(action).or_default().extend(partitions);
        }
    }
    told
}

fn row_permissions(cells: &[&str]) -> Permissions {
    let mut service = String::new();
    let partitions: BTreeSet<String> = if cells[2].starts_with("table:") {
        code(cells[2]).into_iter().collect()
    } else {
        BTreeSet::new()
    };
    code(cells[1])
        .into_iter()
        .map(|action| {
            // Only the first action names the service.
            let (of, name) = action.split_once(':').unwrap_or((&service, &action));
            let whole = format!("{of}:{name}");
            service = of.into();
            (whole, partitions.clone())
        })
        .collect()
}

/// The text in backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}
