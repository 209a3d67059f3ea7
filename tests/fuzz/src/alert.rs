//! An alert with any text in every field that an event can fill.

use arbitrary::Arbitrary;
use chrono::{DateTime, TimeDelta, Utc};
use secondkey::detect::decision::severity::{Severity, SeverityReason};
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::text::{MAX_BYTES, bounded};
use secondkey::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use secondkey::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingId, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::usage::last_use::{LastUsed, LastUses};
use secondkey::detect::user::UserId;

/// Follows every character that could begin a line. No line of an output may begin with it.
pub const FORGED: &str = "☃forged";

/// The input of an alert.
#[derive(Debug, Arbitrary)]
pub struct AnyAlert {
    /// The texts that the fields are filled from.
    pub texts: [String; 4],
    /// Which text goes into which field, two bits each.
    fields: u64,
    /// If over 0xf0, repeats the first text until it is longer than any bound.
    repeats: u8,
    is_root: bool,
    is_own_user: bool,
    is_confirmed: bool,
    has_opener: bool,
    is_created: bool,
    mfa: Option<bool>,
    console: bool,
    kind: u8,
    closing: u8,
    severity: u8,
    seconds: [i32; 6],
    statuses: u8,
    absent: u32,
    uses: u8,
}

/// An alert and the known uses of its keys.
pub struct AlertWithUses {
    /// The alert.
    pub alert: Alert,
    pub last_uses: LastUses,
}

/// Assigns texts to the fields in turn.
struct Texts<'a> {
    any: &'a AnyAlert,
    given: u32,
}

impl Texts<'_> {
    /// The next text, bounded like a text from a record.
    fn next(&mut self) -> String {
        let index =
            usize::try_from(self.any.fields.rotate_right(self.given * 2) & 3).unwrap_or_default();
        self.given += 1;
        let text = match index {
            0 => {
                // Beyond the bound, a longer text only takes more time.
                let text = &self.any.texts[0];
                let enough = 2 * MAX_BYTES / text.len().max(1);
                text.repeat(1 + if self.any.repeats > 0xf0 { enough } else { 0 })
            }
            other => self.any.texts[other].clone(),
        };
        let forged = text
            .chars()
            .flat_map(|character| {
                let is_break = matches!(
                    character,
                    '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
                );
                std::iter::once(character).chain(if is_break { FORGED } else { "" }.chars())
            })
            .collect::<String>();
        bounded(&forged)
    }

    fn some(&mut self) -> Option<String> {
        let text = self.next();
        (self.any.absent >> (self.given % 32) & 1 == 0).then_some(text)
    }
}

impl AnyAlert {
    /// The alert.
    #[must_use]
    pub fn alert_with_uses(&self) -> AlertWithUses {
        let mut texts = Texts {
            any: self,
            given: 0,
        };
        let at = |index: usize| -> DateTime<Utc> {
            DateTime::from_timestamp(1_700_000_000 + i64::from(self.seconds[index]), 0)
                .unwrap_or_default()
        };
        let (account, name) = (texts.next(), texts.next());
        let user = if self.is_root {
            UserId::root(&account)
        } else {
            UserId::new(&account, &name)
        };
        let is_closed = self.kind % 4 == 3;
        let key_ids = [texts.next(), texts.next(), texts.next()];
        let keys: Vec<FindingKey> = key_ids
            .iter()
            .enumerate()
            .map(|(index, id)| FindingKey {
                id: id.clone(),
                status: match self.statuses >> (index * 2) & 3 {
                    0 | 1 => KeyStatus::Active,
                    2 => KeyStatus::Inactive,
                    _ => KeyStatus::Gone,
                },
                created: (self.statuses & 0x40 == 0).then(|| at(index)),
            })
            .collect();
        let actor = |texts: &mut Texts<'_>| Actor {
            kind: if self.is_own_user {
                Some("IAMUser".to_owned())
            } else {
                texts.some()
            },
            arn: texts.some(),
            name: if self.is_own_user {
                Some(name.clone())
            } else {
                texts.some()
            },
            account: if self.is_own_user {
                Some(account.clone())
            } else {
                texts.some()
            },
            access_key_id: texts.some(),
            source_ip: texts.some(),
            user_agent: texts.some(),
            mfa: self.mfa,
            console: self.console,
            invoked_by: texts.some(),
        };
        let opener = self.has_opener.then(|| KeyActivation {
            key: key_ids[usize::from(self.uses) % 3].clone(),
            created: self.is_created,
            at: at(3),
            inactive_since: (!self.is_created).then(|| at(4)),
            actor: actor(&mut texts),
            relation: None,
            event_id: texts.some(),
        });
        let closing = is_closed.then(|| Closing {
            reason: [
                CloseReason::Deactivated,
                CloseReason::Deleted,
                CloseReason::UserDeleted,
                CloseReason::Renamed,
                CloseReason::NeverConfirmed,
            ][usize::from(self.closing) % 5],
            at: at(5),
            actor: (self.closing & 0x80 == 0).then(|| actor(&mut texts)),
            event_id: texts.some(),
        });
        let finding = Finding {
            id: FindingId {
                user: user.clone(),
                episode: u32::from(self.repeats),
            },
            display_name: name,
            status: if is_closed {
                FindingStatus::Closed
            } else {
                [FindingStatus::Open, FindingStatus::Suppressed][usize::from(self.uses >> 7)]
            },
            confirmed: self.is_confirmed,
            severity: [Severity::Medium, Severity::High, Severity::Critical]
                [usize::from(self.severity) % 3],
            severity_reasons: [
                SeverityReason::Root,
                SeverityReason::OutlivedWindow,
                SeverityReason::UntrustedActor,
                SeverityReason::DormantKey,
            ]
            .into_iter()
            .enumerate()
            .filter(|(index, _)| self.severity >> (index + 2) & 1 == 1)
            .map(|(_, reason)| reason)
            .collect(),
            opened_at: at(3),
            is_opened_at_estimated: false,
            detected_at: at(4),
            opener,
            listing_refusal: texts.some(),
            keys,
            continues: texts.some().map(|name| FindingId {
                user: UserId::new(user.account(), &name),
                episode: 1,
            }),
            found_by: [FoundBy::Event, FoundBy::Sweep, FoundBy::Baseline]
                [usize::from(self.uses) % 3],
            other_activations: vec![],
            has_unknown_activator: false,
            leaks: vec![],
            announced: true,
            exemption: texts.some().map(|reason| AppliedExemption {
                id: texts.next(),
                owner: texts.next(),
                reason,
                created_at: at(2),
                until: at(4),
            }),
            closing,
        };
        let last_uses = key_ids
            .iter()
            .enumerate()
            .filter(|(index, _)| self.uses >> index & 1 == 1)
            .map(|(index, key)| {
                let used = if self.uses >> (index + 3) & 1 == 1 {
                    LastUsed::Never
                } else {
                    LastUsed::At {
                        at: at(index),
                        service: texts.some(),
                        region: texts.some(),
                    }
                };
                (key.clone(), used)
            })
            .collect();
        let alert = Alert {
            kind: match self.kind % 4 {
                0 | 1 => AlertKind::Opened,
                2 => AlertKind::Updated(vec![
                    FindingUpdate::Keys,
                    FindingUpdate::Opener,
                    FindingUpdate::Severity,
                ]),
                _ => AlertKind::Closed,
            },
            sequence: u64::from(self.fields as u32),
            audit_hash: "5e7a".repeat(16),
            in_digest: false,
            at: at(5),
            window_ends_at: at(3) + TimeDelta::hours(24),
            finding,
        };
        AlertWithUses { alert, last_uses }
    }
}
