//! The roles of the templates, with every option enabled.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stack::cloudformation::{Known, Template};

/// The account of `template.yaml`.
pub const CENTRAL: &str = "123456789012";
/// Another account of the organization.
pub const MEMBER: &str = "444455556666";
pub const EXTERNAL_ID: &str = "external-id";
pub const ORGANIZATION: &str = "o-abcdefghij";
/// The name of the stack.
pub const STACK: &str = "secondkey";

/// The roles of the functions, in `template.yaml`.
pub const FUNCTIONS: [&str; 3] = ["DetectorRole", "SweeperRole", "SecurityHubRole"];
/// The role that they assume in a member account, in `member.yaml`.
pub const AUDIT: &str = "AuditRole";

/// One statement of a role's policy.
#[derive(Debug, Clone)]
pub struct Statement {
    pub role: String,
    pub sid: String,
    pub actions: BTreeSet<String>,
    pub resources: Vec<String>,
    pub condition: Value,
}

/// `template.yaml` with every option, and with `names` for its resources.
pub fn central(names: &Known) -> Value {
    let mut known = Known::from([
        ("AWS::AccountId", CENTRAL),
        ("AWS::Partition", "aws"),
        ("AWS::Region", "us-east-1"),
        ("AWS::StackName", STACK),
        ("AWS::URLSuffix", "amazonaws.com"),
        ("AlertEmail", "security@example.com"),
        ("CreateTrail", "true"),
        ("ListAccounts", "true"),
        ("MemberExternalId", EXTERNAL_ID),
        ("OrganizationId", ORGANIZATION),
        ("SecurityHubImport", "members"),
        (
            "TableKeyArn",
            "arn:aws:kms:us-east-1:123456789012:key/table",
        ),
    ]);
    known.0.extend(names.0.clone());
    Template::read("infra/template.yaml").resolve(&known)
}

/// `member.yaml` with every option.
pub fn member() -> Value {
    let known = Known::from([
        ("AWS::AccountId", MEMBER),
        ("AWS::Partition", "aws"),
        ("AWS::Region", "us-east-1"),
        ("AWS::StackName", "secondkey-member"),
        ("CentralAccountId", CENTRAL),
        ("CentralStackName", STACK),
        ("MemberExternalId", EXTERNAL_ID),
        ("SecurityHubImport", "true"),
    ]);
    Template::read("infra/member.yaml").resolve(&known)
}

/// The roles that a template creates.
pub fn roles(template: &Value) -> Vec<String> {
    let resources = template["Resources"].as_object().unwrap();
    resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role")
        .map(|(name, _)| name.clone())
        .collect()
}

/// The role's name in its account.
pub fn role_name(role: &str) -> String {
    let template = if role == AUDIT {
        member()
    } else {
        central(&Known::default())
    };
    let name = template["Resources"][role]["Properties"]["RoleName"].as_str();
    name.unwrap().to_owned()
}

/// The permissions of a role in a template.
pub fn statements(template: &Value, role: &str) -> Vec<Statement> {
    let properties = &template["Resources"][role]["Properties"];
    assert!(properties["ManagedPolicyArns"].is_null(), "{role}");
    let policies = properties["Policies"].as_array();
    let policies = policies.unwrap_or_else(|| panic!("{role} has policies"));
    policies
        .iter()
        .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]))
        .map(|statement| read(role, &statement))
        .collect()
}

fn read(role: &str, statement: &Value) -> Statement {
    let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
    for key in statement.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{role}: {key}");
    }
    assert_eq!(statement["Effect"], "Allow", "{role}: {statement}");
    let texts = |value: &Value| -> Vec<String> {
        let items = list(value).into_iter();
        items
            .map(|item| item.as_str().unwrap().to_owned())
            .collect()
    };
    Statement {
        role: role.to_owned(),
        sid: statement["Sid"].as_str().unwrap_or_default().to_owned(),
        actions: texts(&statement["Action"]).into_iter().collect(),
        resources: texts(&statement["Resource"]),
        condition: statement["Condition"].clone(),
    }
}

/// The content of a policy's element, which may be one value or a list.
pub fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

impl Statement {
    /// The table partitions that it is limited to, or `None` if it names none.
    pub fn leading_keys(&self) -> Option<BTreeSet<String>> {
        let keys = &self.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        let keys = keys.as_array()?;
        Some(
            keys.iter()
                .map(|key| key.as_str().unwrap().to_owned())
                .collect(),
        )
    }

    /// The statement as JSON.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"Sid": self.sid, "Effect": "Allow", "Action": self.actions, "Resource": self.resources});
        if !self.condition.is_null() {
            json["Condition"] = self.condition.clone();
        }
        json
    }
}
