//! Labeled stories of two active keys: what happened, who is friend and who is foe, and which key
//! may be deactivated.

use chrono::{DateTime, TimeDelta};
use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::usage::last_use::{LastUsed, LastUses};
use serde_json::{Value, json};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// One story. Times are seconds since the second key became active.
pub struct Story {
    /// What kind of story it is.
    pub kind: &'static str,
    /// The user's name at the time of the check.
    pub user: String,
    /// The account.
    pub account: String,
    /// What CloudTrail and Health recorded, in order of time.
    pub records: Vec<Value>,
    /// The exemption that covers the user.
    pub exemption: Option<Exemption>,
    /// When each key was last used, as far as that is known.
    pub uses: LastUses,
    /// The time of the check.
    pub looked_at: Timestamp,
    /// The ground truth.
    pub label: Label,
}

/// The ground truth of a story.
pub struct Label {
    /// The key that an intruder has.
    pub hostile: Option<String>,
    /// The keys that may be deactivated.
    pub may_go: Vec<String>,
    /// The code of the verdict.
    pub verdict: &'static str,
    /// The severity.
    pub severity: &'static str,
}

/// The actor of a change.
#[derive(Clone)]
enum Who {
    User(String),
    Role(&'static str),
    Root,
}

/// A story under construction.
struct Telling {
    number: usize,
    account: String,
    user: String,
    records: Vec<(i64, Value)>,
    uses: LastUses,
    exemption: Option<Exemption>,
}

fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_770_000_000 + second, 0).unwrap()
}

impl Telling {
    fn new(kind: &str, number: usize) -> Self {
        Self {
            number,
            // An actor who is familiar in one story must be a stranger in the next.
            account: format!("{:012}", 100_000_000_000 + number),
            user: format!("{kind}-{number}"),
            records: vec![],
            uses: LastUses::new(),
            exemption: None,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("AKIA{:08}{name}", self.number)
    }

    fn record(
        &mut self,
        second: i64,
        who: &Who,
        event: &str,
        parameters: &Value,
        response: &Value,
    ) {
        let account = &self.account;
        let identity = match who {
            Who::User(name) => json!({"type": "IAMUser", "userName": name, "accountId": account,
                "arn": format!("arn:aws:iam::{account}:user/{name}"), "accessKeyId": self.key("OLD")}),
            Who::Role(role) => json!({"type": "AssumedRole", "accountId": account,
                "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/run-{second}"),
                "accessKeyId": "ASIAEXAMPLE"}),
            Who::Root => json!({"type": "Root", "accountId": account,
                "arn": format!("arn:aws:iam::{account}:root")}),
        };
        let record = json!({
            "eventVersion": "1.11", "eventSource": "iam.amazonaws.com", "eventName": event,
            "eventTime": at(second).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "awsRegion": "us-east-1", "recipientAccountId": account,
            "eventID": format!("{}-{}-{event}", self.number, self.records.len()),
            "sourceIPAddress": "198.51.100.7", "userIdentity": identity,
            "requestParameters": parameters, "responseElements": response,
        });
        self.records.push((second, record));
    }

    fn create_for(&mut self, second: i64, who: &Who, user: &str, key: &str) {
        let response =
            json!({"accessKey": {"userName": user, "accessKeyId": key, "status": "Active"}});
        self.record(
            second,
            who,
            "CreateAccessKey",
            &json!({"userName": user}),
            &response,
        );
    }

    fn create(&mut self, second: i64, who: &Who, key: &str) {
        let (user, key) = (self.user.clone(), self.key(key));
        self.create_for(second, who, &user, &key);
    }

    fn set_for(&mut self, second: i64, who: &Who, user: &str, key: &str, status: &str) {
        let parameters = json!({"userName": user, "accessKeyId": key, "status": status});
        self.record(second, who, "UpdateAccessKey", &parameters, &Value::Null);
    }

    fn set(&mut self, second: i64, who: &Who, key: &str, status: &str) {
        let (user, key) = (self.user.clone(), self.key(key));
        self.set_for(second, who, &user, &key, status);
    }

    fn quarantine(&mut self, second: i64) {
        let parameters = json!({"userName": self.user,
            "policyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"});
        self.record(
            second,
            &Who::Root,
            "AttachUserPolicy",
            &parameters,
            &Value::Null,
        );
    }

    fn exposed(&mut self, second: i64, key: &str) {
        let time = at(second).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let event = json!({
            "version": "0", "id": format!("{:08}-0000-4000-8000-00000000000{}", self.number, self.records.len()),
            "detail-type": "AWS Health Event", "source": "aws.health", "account": self.account,
            "time": time, "region": "us-east-1", "resources": [self.key(key)],
            "detail": {
                "eventArn": format!("arn:aws:health:us-east-1::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/{}", self.number),
                "service": "RISK", "eventTypeCode": "AWS_RISK_CREDENTIALS_EXPOSED",
                "eventTypeCategory": "issue", "startTime": time, "eventRegion": "us-east-1",
                "affectedAccount": self.account, "statusCode": "open",
                "affectedEntities": [{"entityValue": self.key(key)}],
            },
        });
        self.records.push((second, event));
    }

    /// Records that `key` was last used `ago` seconds before `now`, or never if `None`.
    fn used(&mut self, key: &str, now: i64, ago: Option<i64>) {
        let used = ago.map_or(LastUsed::Never, |ago| LastUsed::At {
            at: at(now - ago),
            service: Some("s3".to_owned()),
            region: Some("us-east-1".to_owned()),
        });
        self.uses.insert(self.key(key), used);
    }

    fn itself(&self) -> Who {
        Who::User(self.user.clone())
    }

    /// The first key, which the user's administrator created long ago.
    fn first_key(&mut self) {
        let age = DAY * (40 + i64::try_from(self.number % 7).unwrap() * 100);
        self.create(-age, &Who::Role("Onboarding"), "OLD");
    }

    /// An earlier rotation by `role` for another user, which ended cleanly.
    fn clean_rotation_by(&mut self, role: &'static str) {
        let (other, old, new) = (
            format!("other-{}", self.number),
            self.key("PRIOROLD"),
            self.key("PRIORNEW"),
        );
        let who = Who::Role(role);
        self.create_for(-39 * DAY, &Who::Role("Onboarding"), &other, &old);
        self.create_for(-9 * DAY, &who, &other, &new);
        self.set_for(-8 * DAY, &who, &other, &old, "Inactive");
    }

    fn ends(
        mut self,
        kind: &'static str,
        looked_at: i64,
        verdict: &'static str,
        severity: &'static str,
        may_go: &[&str],
        hostile: Option<&str>,
    ) -> Story {
        // The logs continue until the check.
        self.record(
            looked_at,
            &Who::Root,
            "GetAccountSummary",
            &Value::Null,
            &Value::Null,
        );
        self.records.sort_by_key(|(second, _)| *second);
        Story {
            kind,
            label: Label {
                hostile: hostile.map(|key| self.key(key)),
                may_go: may_go.iter().map(|key| self.key(key)).collect(),
                verdict,
                severity,
            },
            user: self.user,
            account: self.account,
            records: self.records.into_iter().map(|(_, record)| record).collect(),
            exemption: self.exemption,
            uses: self.uses,
            looked_at: at(looked_at),
        }
    }
}

const WAIT: &str = "rotation_in_progress";

/// Story `number`. Its kind and its times depend on the number.
#[expect(
    clippy::too_many_lines,
    reason = "the kinds stand in one table, each with what is true of it"
)]
pub fn story(number: usize) -> Story {
    // Between a minute and almost a day after the opening.
    let within = 60 + i64::try_from(number).unwrap() * 7_919 % (23 * HOUR);
    // Between a minute and three months after the rotation window.
    let after = DAY + 60 + i64::try_from(number).unwrap() * 104_729 % (90 * DAY);
    let told = |kind: &'static str| {
        let mut told = Telling::new(kind, number);
        told.first_key();
        told
    };
    match number % 24 {
        0 => {
            let mut told = told("self-started");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "rotation by the user, just begun",
                within,
                WAIT,
                "MEDIUM",
                &[],
                None,
            )
        }
        1 => {
            let mut told = told("self-switched");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", within.max(2 * HOUR), Some(HOUR + 60));
            told.used("NEW", within.max(2 * HOUR), Some(30));
            told.ends(
                "rotation by the user, switched",
                within.max(2 * HOUR),
                "retire",
                "MEDIUM",
                &["OLD"],
                None,
            )
        }
        2 => {
            let mut told = told("pipeline");
            told.clean_rotation_by("rotator");
            told.create(0, &Who::Role("rotator"), "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "rotation by a familiar pipeline",
                within,
                WAIT,
                "MEDIUM",
                &[],
                None,
            )
        }
        3 => {
            let mut told = told("forgotten");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, Some(30));
            told.used("NEW", after, None);
            told.ends(
                "forgotten, the new key never used",
                after,
                "retire",
                "HIGH",
                &["NEW"],
                None,
            )
        }
        4 => {
            let mut told = told("both-used");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, Some(840));
            told.used("NEW", after, Some(840));
            told.ends("forgotten, both in use", after, "ask", "HIGH", &[], None)
        }
        5 => {
            let mut told = told("never-used");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, None);
            told.used("NEW", after, None);
            told.ends(
                "forgotten, neither used",
                after,
                "retire",
                "HIGH",
                &["OLD", "NEW"],
                None,
            )
        }
        6 => {
            let mut told = told("use-unknown");
            told.create(0, &told.itself(), "NEW");
            told.ends("forgotten, use unknown", after, "ask", "HIGH", &[], None)
        }
        7 => {
            let mut told = told("use-unknown-yet");
            told.create(0, &told.itself(), "NEW");
            told.used("NEW", within, Some(30));
            told.ends(
                "rotation, use of one key unknown",
                within,
                WAIT,
                "MEDIUM",
                &[],
                None,
            )
        }
        8 => {
            let mut told = told("stolen-admin");
            told.create(0, &Who::Role("Admin"), "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "backdoor by a stolen administrator",
                within,
                "contain",
                "HIGH",
                &["NEW"],
                Some("NEW"),
            )
        }
        9 => {
            let mut told = told("stolen-admin-late");
            told.create(0, &Who::Role("Admin"), "NEW");
            told.used("OLD", after, Some(3 * HOUR));
            told.used("NEW", after, Some(30));
            told.ends(
                "backdoor in use, found late",
                after,
                "contain",
                "HIGH",
                &["NEW"],
                Some("NEW"),
            )
        }
        10 => {
            let mut told = told("stolen-user");
            told.create(0, &Who::User("mallory".to_owned()), "NEW");
            told.ends(
                "backdoor by another user",
                within,
                "contain",
                "HIGH",
                &["NEW"],
                Some("NEW"),
            )
        }
        11 => {
            let mut told = told("compromised-ci");
            told.clean_rotation_by("rotator");
            told.create(0, &Who::Role("rotator"), "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, Some(10));
            told.ends(
                "backdoor by a familiar CI role",
                within,
                WAIT,
                "MEDIUM",
                &["NEW"],
                Some("NEW"),
            )
        }
        12 => {
            let mut told = told("dormant-stolen");
            told.create(-38 * DAY, &told.itself(), "NEW");
            told.set(-37 * DAY, &told.itself(), "OLD", "Inactive");
            told.set(0, &Who::Role("Admin"), "OLD", "Active");
            told.used("NEW", within, Some(30));
            told.used("OLD", within, Some(38 * DAY));
            told.ends(
                "dormant key reactivated by a stranger",
                within,
                "contain",
                "HIGH",
                &["OLD"],
                Some("OLD"),
            )
        }
        13 => {
            let mut told = told("dormant-own");
            told.create(-38 * DAY, &told.itself(), "NEW");
            told.set(-37 * DAY, &told.itself(), "OLD", "Inactive");
            told.set(0, &told.itself(), "OLD", "Active");
            told.used("NEW", within, Some(30));
            told.used("OLD", within, Some(38 * DAY));
            told.ends(
                "dormant key reactivated with the user's own key",
                within,
                "ask",
                "HIGH",
                &["OLD"],
                Some("OLD"),
            )
        }
        14 => {
            let mut told = told("rolled-back");
            told.create(-2 * DAY, &told.itself(), "NEW");
            told.set(-DAY, &told.itself(), "OLD", "Inactive");
            told.set(0, &told.itself(), "OLD", "Active");
            told.used("NEW", within, Some(30));
            told.used("OLD", within, Some(20));
            told.ends(
                "old key switched on again by the user",
                within,
                WAIT,
                "MEDIUM",
                &[],
                None,
            )
        }
        15 => {
            let mut told = told("leaked-old");
            told.quarantine(-HOUR);
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "quarantined, then a second key",
                within,
                "contain",
                "HIGH",
                &["OLD"],
                Some("OLD"),
            )
        }
        16 => {
            let mut told = told("leaked-new");
            told.create(0, &told.itself(), "NEW");
            told.exposed(50, "NEW");
            told.used("OLD", within, Some(30));
            told.used("NEW", within, Some(30));
            told.ends(
                "the new key is exposed",
                within,
                "contain",
                "HIGH",
                &["NEW"],
                Some("NEW"),
            )
        }
        17 => {
            let mut told = told("leaked-first");
            told.exposed(-HOUR, "OLD");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, Some(30));
            told.used("NEW", after, None);
            told.ends(
                "the old key is exposed, then replaced",
                after,
                "contain",
                "HIGH",
                &["OLD"],
                Some("OLD"),
            )
        }
        18 => {
            let mut told = told("leaked-one");
            told.create(0, &told.itself(), "NEW");
            told.quarantine(50);
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "quarantined with two keys",
                within,
                "ask",
                "HIGH",
                &[],
                Some("OLD"),
            )
        }
        19 => {
            let mut told = Telling::new("root", number);
            "<root_account>".clone_into(&mut told.user);
            for (second, key) in [(-40 * DAY, "OLD"), (0, "NEW")] {
                let id = told.key(key);
                let response = json!({"accessKey": {"accessKeyId": id, "status": "Active"}});
                told.record(
                    second,
                    &Who::Root,
                    "CreateAccessKey",
                    &Value::Null,
                    &response,
                );
            }
            told.ends("root's second key", within, "ask", "CRITICAL", &[], None)
        }
        20 => {
            let mut told = told("renamed-before");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", within.max(200), Some(30));
            told.used("NEW", within.max(200), None);
            let (from, to) = (told.user.clone(), format!("renamed-{number}"));
            let parameters = json!({"userName": from, "newUserName": to});
            told.record(
                50,
                &Who::Role("Admin"),
                "UpdateUser",
                &parameters,
                &Value::Null,
            );
            told.user = to;
            told.ends(
                "renamed during a rotation",
                within.max(200),
                WAIT,
                "MEDIUM",
                &[],
                None,
            )
        }
        21 => {
            let mut told = told("stack");
            told.create(0, &Who::Role("cfn-exec"), "NEW");
            if let Some((_, record)) = told.records.last_mut() {
                record["userIdentity"]["invokedBy"] = json!("cloudformation.amazonaws.com");
                record["sourceIPAddress"] = json!("cloudformation.amazonaws.com");
            }
            told.used("OLD", within, Some(30));
            told.used("NEW", within, None);
            told.ends(
                "made by a stack for the first time",
                within,
                "contain",
                "HIGH",
                &["NEW"],
                None,
            )
        }
        22 => {
            let mut told = told("exempt");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, Some(30));
            told.used("NEW", after, None);
            told.exemption = Some(Exemption {
                id: "farm".to_owned(),
                account: told.account.clone(),
                user_pattern: told.user.clone(),
                actor_pattern: "*".to_owned(),
                owner: "platform team".to_owned(),
                reason: "migration".to_owned(),
                created_at: at(-DAY),
                until: at(after) + TimeDelta::days(5),
            });
            told.ends("exempt", after, WAIT, "HIGH", &[], None)
        }
        _ => {
            let mut told = told("abandoned");
            told.create(0, &told.itself(), "NEW");
            told.used("OLD", after, Some(30));
            told.used("NEW", after, Some(2 * HOUR));
            told.ends(
                "rotation given up, the new key idle",
                after,
                "retire",
                "HIGH",
                &["NEW"],
                None,
            )
        }
    }
}
