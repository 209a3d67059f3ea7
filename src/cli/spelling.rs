//! Which IAM user a name means that a person typed, and how IAM spells it.
//!
//! IAM's user names are unique without regard to case, and so is our record's key. Whether a call
//! finds a user by another spelling is not documented, so IAM is asked for the spelling that it
//! gave itself, and "there is no such user" counts only for that one.

use async_trait::async_trait;

use crate::aws::iam::IamKeySource;
use crate::cli::LONGEST;
use crate::detect::listing::{Answer, KeyListing};
use crate::detect::retire::LastUses;
use crate::detect::user::UserId;
use crate::detect::user_record::UserRecord;
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::pipeline::key_source::KeySource;

/// A user that a person named, and what IAM answered.
pub(super) struct Named {
    /// The user.
    pub(super) user: UserId,
    /// The spelling that IAM answered to; the first that was tried, if it answered to none.
    pub(super) name: String,
    /// The answer.
    pub(super) listing: KeyListing,
    /// Whether IAM gave this spelling itself, now or when the finding opened.
    pub(super) is_of_iam: bool,
    /// What was typed.
    typed: String,
    /// The spellings that were tried.
    tried: Vec<String>,
}

impl Named {
    /// Looks up `user`, whom a person typed as `typed`; root is asked for by no name.
    pub(super) async fn look_up(
        iam: &IamKeySource,
        store: Option<&dyn FindingReader>,
        user: &UserId,
        typed: &str,
    ) -> Result<Self, ServiceError> {
        let record = match store {
            Some(store) if !user.is_root() => Some(store.record(user).await?),
            _ => None,
        };
        let spellings = spellings(record.as_ref(), typed);
        let mut tried = vec![];
        let mut first = None;
        for Spelling { name, is_of_iam } in spellings {
            let listing = iam.list(user, &name).await?;
            tried.push(name.clone());
            let answered = match listing.answer() {
                Answer::Keys { display_name, .. } => display_name.clone(),
                Answer::NoSuchUser | Answer::Report { .. } | Answer::Refused { .. } => None,
            };
            let is_unknown = *listing.answer() == Answer::NoSuchUser;
            let named = Self {
                is_of_iam: is_of_iam || answered.is_some(),
                name: answered.unwrap_or(name),
                user: user.clone(),
                listing,
                typed: typed.to_owned(),
                tried: vec![],
            };
            if !is_unknown {
                return Ok(Self { tried, ..named });
            }
            first.get_or_insert(named);
        }
        first
            .map(|named| Self { tried, ..named })
            .ok_or_else(|| ServiceError::permanent("no spelling of the user could be tried"))
    }

    /// Whether IAM knows no user by any of the spellings.
    #[must_use]
    pub(super) fn is_unknown(&self) -> bool {
        *self.listing.answer() == Answer::NoSuchUser
    }

    /// Why there is nothing to work on, where IAM knows no such user.
    #[must_use]
    pub(super) fn no_such_user(&self) -> anyhow::Error {
        anyhow::anyhow!(
            "there is no IAM user `{}` in account `{}`; {}; name another, or another account with --profile",
            self.typed,
            self.user.account(),
            self.tried()
        )
    }

    /// The spellings that were tried, in words, safe for a terminal.
    #[must_use]
    pub(super) fn tried(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|name| format!("`{}`", for_terminal(name, LONGEST)))
            .collect();
        format!("tried {}", tried.join(", "))
    }

    /// IAM, asked for this user by the spelling that it answered to.
    #[must_use]
    pub(super) fn source(&self, iam: IamKeySource) -> Pinned {
        Pinned {
            iam,
            name: self.name.clone(),
            is_of_iam: self.is_of_iam,
        }
    }
}

struct Spelling {
    name: String,
    is_of_iam: bool,
}

/// The spellings to ask IAM for, each once: those it gave itself first.
fn spellings(record: Option<&UserRecord>, typed: &str) -> Vec<Spelling> {
    let record = record.filter(|record| record.version > 0);
    let finding = record.and_then(UserRecord::open_finding);
    // A finding opens on a listing or on an event, and both spell the user as IAM does. A record
    // that neither of them filled holds the folded name.
    let of_finding = finding.map(|finding| (finding.display_name.as_str(), true));
    let of_record = record.map(|record| (record.display_name.as_str(), false));
    let mut spellings: Vec<Spelling> = vec![];
    for (name, is_of_iam) in [of_finding, of_record, Some((typed, false))]
        .into_iter()
        .flatten()
    {
        if spellings.iter().all(|known| known.name != name) {
            let name = name.to_owned();
            spellings.push(Spelling { name, is_of_iam });
        }
    }
    spellings
}

/// IAM, asked for one user by one spelling.
pub(super) struct Pinned {
    iam: IamKeySource,
    name: String,
    is_of_iam: bool,
}

#[async_trait]
impl KeySource for Pinned {
    async fn list(&self, user: &UserId, _: &str) -> Result<KeyListing, ServiceError> {
        let listing = self.iam.list(user, &self.name).await?;
        Ok(credible(listing, &self.name, self.is_of_iam))
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.iam.owner(account, key).await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        self.iam.last_used(user, keys).await
    }
}

/// `listing`, except that "there is no such user" means nothing for a spelling that IAM did not
/// give.
fn credible(listing: KeyListing, name: &str, is_of_iam: bool) -> KeyListing {
    if is_of_iam || *listing.answer() != Answer::NoSuchUser {
        return listing;
    }
    // INVARIANT (a typed name closes nothing): a close needs IAM's own spelling.
    let reason =
        format!("IAM knows no user `{name}`, and whether it spells the user so is not known");
    KeyListing::refused(listing.requested_at(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, finding_of, user};

    fn tried(record: Option<&UserRecord>, typed: &str) -> Vec<(String, bool)> {
        spellings(record, typed)
            .into_iter()
            .map(|spelling| (spelling.name, spelling.is_of_iam))
            .collect()
    }

    #[test]
    fn iams_own_spelling_is_tried_first_and_each_once() {
        let named = |names: &[(&str, bool)]| {
            let own = |(name, is_of_iam): &(&str, bool)| ((*name).to_owned(), *is_of_iam);
            names.iter().map(own).collect::<Vec<_>>()
        };
        assert_eq!(tried(None, "ALICE"), named(&[("ALICE", false)]));
        let mut record = UserRecord::new(user());
        assert_eq!(tried(Some(&record), "ALICE"), named(&[("ALICE", false)]));
        record.version = 1;
        let expected = [("alice", false), ("ALICE", false)];
        assert_eq!(tried(Some(&record), "ALICE"), named(&expected));
        let mut finding = finding_of(&[("OLD", Some(1)), ("NEW", Some(2))]);
        "Alice".clone_into(&mut finding.display_name);
        record.finding = Some(finding);
        let expected = [("Alice", true), ("alice", false), ("ALICE", false)];
        assert_eq!(tried(Some(&record), "ALICE"), named(&expected));
        "Alice".clone_into(&mut record.display_name);
        assert_eq!(tried(Some(&record), "Alice"), named(&[("Alice", true)]));
    }

    #[test]
    fn no_such_user_counts_only_for_a_spelling_of_iams() {
        let none = || KeyListing::no_such_user(at(1));
        assert_eq!(credible(none(), "Alice", true), none());
        let typed = credible(none(), "ALICE", false);
        assert!(matches!(typed.answer(), Answer::Refused { .. }));
        assert_eq!(typed.requested_at(), at(1));
        let refused = KeyListing::refused(at(1), "denied");
        assert_eq!(credible(refused.clone(), "ALICE", false), refused);
    }
}
