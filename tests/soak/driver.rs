//! A task that changes access keys without pause.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::Utc;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::cloudtrail::CloudTrail;
use crate::stack::wiring::cloudtrail_record;
use crate::truth::{Moment, Time, Truth};

/// The most users at a time.
const USERS: usize = 30;
/// The most calls about one user in a row, of which some happen in the same second.
const BURST: usize = 4;
/// The longest pause after a burst, in milliseconds.
const PAUSE_MS: u64 = 200;

/// The task that makes the calls.
pub struct Driver {
    iam: aws_sdk_iam::Client,
    trail: CloudTrail,
    rng: Rng,
    users: Vec<User>,
    truth: Truth,
    operations: usize,
}

/// One user, who exists under one of three names.
struct User {
    names: [String; 3],
    name: Option<String>,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    is_active: bool,
    /// moto stores the user name under which a key was created, and deletes the key under no other
    /// name.
    made_as: String,
}

#[derive(Clone)]
enum Operation {
    CreateUser(String),
    CreateKey,
    SetKey(usize, bool),
    DeleteKey(usize),
    Rename(String),
    /// With all keys, which must be deleted first.
    DeleteUser,
}

impl Driver {
    pub fn new(iam: aws_sdk_iam::Client, trail: CloudTrail, rng: Rng) -> Self {
        let users = (0..USERS)
            .map(|number| User {
                // In lower case, like in re-checks: moto knows a user in one spelling only.
                names: ["a", "b", "c"].map(|letter| format!("soak-{number:02}-{letter}")),
                name: None,
                keys: vec![],
            })
            .collect();
        Self {
            iam,
            trail,
            rng,
            users,
            truth: Truth::default(),
            operations: 0,
        }
    }

    /// Works until `end`, and waits until all events that arrive at all have arrived. Returns the
    /// truth and the number of calls.
    pub async fn work_until(mut self, end: Instant) -> (Truth, usize) {
        while Instant::now() < end {
            let place = self.rng.usize(0..self.users.len());
            for _ in 0..self.rng.usize(1..=BURST) {
                let operation = self.choose(place);
                self.perform(place, operation).await;
            }
            let pause = Duration::from_millis(self.rng.u64(0..PAUSE_MS));
            tokio::time::sleep(pause).await;
        }
        self.trail.until_told().await;
        (self.truth, self.operations)
    }

    fn choose(&mut self, place: usize) -> Operation {
        let user = &self.users[place];
        let Some(name) = &user.name else {
            let name = self.rng.choice(&user.names).expect("there are names");
            return Operation::CreateUser(name.clone());
        };
        let is_deletable = |key: &Key| key.made_as == *name;
        let mut possible: Vec<(u32, Operation)> = vec![];
        if user.keys.len() < 2 {
            possible.push((8, Operation::CreateKey));
        }
        for (number, key) in user.keys.iter().enumerate() {
            let weight = if key.is_active { 2 } else { 6 };
            possible.push((weight, Operation::SetKey(number, !key.is_active)));
            if is_deletable(key) {
                possible.push((1, Operation::DeleteKey(number)));
            }
        }
        for other in user.names.iter().filter(|other| *other != name) {
            let leads_back = user.keys.iter().any(|key| key.made_as == *other);
            let weight = if leads_back { 3 } else { 1 };
            possible.push((weight, Operation::Rename(other.clone())));
        }
        if user.keys.iter().all(is_deletable) {
            possible.push((1, Operation::DeleteUser));
        }
        let whole: u32 = possible.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.rng.u32(0..whole);
        for (weight, operation) in possible {
            if drawn < weight {
                return operation;
            }
            drawn -= weight;
        }
        unreachable!("less was drawn than there is")
    }

    async fn perform(&mut self, place: usize, operation: Operation) {
        match operation {
            Operation::CreateUser(name) => self.create_user(place, name).await,
            Operation::CreateKey => self.create_key(place).await,
            Operation::SetKey(number, is_active) => self.set_key(place, number, is_active).await,
            Operation::DeleteKey(number) => self.delete_key(place, number).await,
            Operation::Rename(name) => self.rename(place, name).await,
            Operation::DeleteUser => {
                while !self.users[place].keys.is_empty() {
                    self.delete_key(place, 0).await;
                }
                self.delete_user(place).await;
            }
        }
    }

    async fn create_user(&mut self, place: usize, name: String) {
        let from = self.begin(&name).await;
        let made = self.iam.create_user().user_name(&name).send().await;
        made.expect("a user can be created");
        self.users[place].name = Some(name.clone());
        // The detector receives no event about a new user, who has no keys.
        self.done(place, &name, from, "CreateUser");
    }

    async fn create_key(&mut self, place: usize) {
        let name = self.name(place);
        let from = self.begin(&name).await;
        let made = self.iam.create_access_key().user_name(&name).send().await;
        let made = made.expect("a key can be created").access_key;
        let id = made.expect("it is returned").access_key_id;
        self.users[place].keys.push(Key {
            id: id.clone(),
            is_active: true,
            made_as: name.clone(),
        });
        let mut record = told("CreateAccessKey", &json!({"userName": name}));
        record["responseElements"] =
            json!({"accessKey": {"userName": name, "accessKeyId": id, "status": "Active"}});
        let fate = self.tell(&record, &[&name]);
        self.done(place, &name, from, &format!("CreateAccessKey {id} {fate}"));
    }

    async fn set_key(&mut self, place: usize, number: usize, is_active: bool) {
        let name = self.name(place);
        let from = self.begin(&name).await;
        let id = self.users[place].keys[number].id.clone();
        let status = if is_active { "Active" } else { "Inactive" };
        self.iam
            .update_access_key()
            .user_name(&name)
            .access_key_id(&id)
            .status(status.into())
            .send()
            .await
            .expect("a key can be updated");
        self.users[place].keys[number].is_active = is_active;
        let parameters = json!({"userName": name, "accessKeyId": id, "status": status});
        let fate = self.tell(&told("UpdateAccessKey", &parameters), &[&name]);
        self.done(
            place,
            &name,
            from,
            &format!("UpdateAccessKey {id} {status} {fate}"),
        );
    }

    async fn delete_key(&mut self, place: usize, number: usize) {
        let name = self.name(place);
        let from = self.begin(&name).await;
        let id = self.users[place].keys.remove(number).id;
        self.iam
            .delete_access_key()
            .user_name(&name)
            .access_key_id(&id)
            .send()
            .await
            .expect("a key can be deleted");
        let parameters = json!({"userName": name, "accessKeyId": id});
        let fate = self.tell(&told("DeleteAccessKey", &parameters), &[&name]);
        self.done(place, &name, from, &format!("DeleteAccessKey {id} {fate}"));
    }

    async fn rename(&mut self, place: usize, to: String) {
        let name = self.name(place);
        self.begin(&to).await;
        let from = self.begin(&name).await;
        self.iam
            .update_user()
            .user_name(&name)
            .new_user_name(&to)
            .send()
            .await
            .expect("a user can be renamed");
        let parameters = json!({"userName": name, "newUserName": to});
        let fate = self.tell(&told("UpdateUser", &parameters), &[&name, &to]);
        let what = format!("UpdateUser {name} to {to} {fate}");
        self.users[place].name = Some(to.clone());
        self.done(place, &to, from, &what);
        self.note(&name, from, &what, BTreeSet::new());
    }

    async fn delete_user(&mut self, place: usize) {
        let name = self.name(place);
        let from = self.begin(&name).await;
        let deleted = self.iam.delete_user().user_name(&name).send().await;
        deleted.expect("a user can be deleted");
        self.users[place].name = None;
        let fate = self.tell(&told("DeleteUser", &json!({"userName": name})), &[&name]);
        self.done(place, &name, from, &format!("DeleteUser {fate}"));
    }

    fn name(&self, place: usize) -> String {
        self.users[place]
            .name
            .clone()
            .expect("there is such a user")
    }

    /// Lists the user's keys once more before a change, for a later stale listing. Returns the
    /// time.
    async fn begin(&self, name: &str) -> Time {
        // An error for a missing user is a response too.
        let _ = self.iam.list_access_keys().user_name(name).send().await;
        Utc::now()
    }

    fn done(&mut self, place: usize, name: &str, from: Time, what: &str) {
        let active = self.users[place]
            .keys
            .iter()
            .filter(|key| key.is_active)
            .map(|key| key.id.clone())
            .collect();
        self.operations += 1;
        self.note(name, from, what, active);
    }

    fn note(&mut self, name: &str, from: Time, what: &str, active: BTreeSet<String>) {
        let moment = Moment {
            from,
            to: Utc::now(),
            what: what.to_owned(),
            active,
        };
        self.truth.note(name, moment);
    }

    /// Sends the event of a call that was just made, about `names`. Returns its delays as text.
    fn tell(&mut self, record: &Value, names: &[&str]) -> String {
        let fate = self.trail.tell(record);
        if fate.is_none() {
            for name in names {
                self.truth.note_lost(name);
            }
        }
        fate.unwrap_or_else(|| "(event lost)".to_owned())
    }
}

/// The record of a call that was just made.
fn told(event: &str, parameters: &Value) -> Value {
    cloudtrail_record(event, parameters, Utc::now())
}
