//! Finds the IAM user for a typed name, in IAM's own spelling.
//!
//! IAM user names are unique regardless of case, and the keys of our records are lowercase. AWS does
//! not document whether a call finds a user by another spelling. So IAM is asked with the spelling
//! that it reported itself, and "no such user" counts only for that spelling.

use async_trait::async_trait;

use crate::aws::iam::IamKeySource;
use crate::cli::MAX_CHARS;
use crate::detect::keys::listing::{KeyListing, ListingAnswer};
use crate::detect::records::user_record::UserRecord;
use crate::detect::usage::last_use::LastUses;
use crate::detect::user::UserId;
use crate::output::escape::for_terminal;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::pipeline::key_source::KeySource;

/// A user by its typed name, and IAM's answer.
pub(super) struct UserLookup {
    /// The user.
    pub(super) user: UserId,
    /// The spelling that IAM accepted, or the first one tried if IAM accepted none.
    pub(super) name: String,
    /// IAM's answer.
    pub(super) listing: KeyListing,
    /// Whether IAM reported this spelling itself, now or when the finding opened.
    pub(super) is_of_iam: bool,
    /// What was typed.
    typed: String,
    /// The spellings that were tried.
    tried: Vec<String>,
}

impl UserLookup {
    /// Looks up `user`, which was typed as `typed`. For root, IAM is asked without a name.
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
                ListingAnswer::Keys { display_name, .. } => display_name.clone(),
                ListingAnswer::NoSuchUser
                | ListingAnswer::Report { .. }
                | ListingAnswer::Refused { .. } => None,
            };
            let is_unknown = *listing.answer() == ListingAnswer::NoSuchUser;
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

    /// Whether IAM found no user for any of the spellings.
    #[must_use]
    pub(super) fn is_unknown(&self) -> bool {
        *self.listing.answer() == ListingAnswer::NoSuchUser
    }

    /// The error for a user that IAM does not have.
    #[must_use]
    pub(super) fn no_such_user(&self) -> anyhow::Error {
        anyhow::anyhow!(
            "there is no IAM user `{}` in account `{}`; {}; name another, or another account with --profile",
            self.typed,
            self.user.account(),
            self.tried()
        )
    }

    /// The spellings that were tried, as text that is safe for a terminal.
    #[must_use]
    pub(super) fn tried(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|name| format!("`{}`", for_terminal(name, MAX_CHARS)))
            .collect();
        format!("tried {}", tried.join(", "))
    }

    /// A key source that lists this user's keys by the spelling that IAM accepted.
    #[must_use]
    pub(super) fn source(&self, iam: IamKeySource) -> PinnedKeySource {
        PinnedKeySource {
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

/// The spellings to try, without duplicates. Those that IAM reported itself come first.
fn spellings(record: Option<&UserRecord>, typed: &str) -> Vec<Spelling> {
    let record = record.filter(|record| record.version > 0);
    let finding = record.and_then(UserRecord::open_finding);
    // A finding opens on a listing or on an event, and both have IAM's spelling. A record that has
    // seen neither has the lowercase name.
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

/// Lists the keys of one user, always by the same spelling.
pub(super) struct PinnedKeySource {
    iam: IamKeySource,
    name: String,
    is_of_iam: bool,
}

#[async_trait]
impl KeySource for PinnedKeySource {
    async fn list(&self, user: &UserId, _: &str) -> Result<KeyListing, ServiceError> {
        let listing = self.iam.list(user, &self.name).await?;
        Ok(trusted_listing(listing, &self.name, self.is_of_iam))
    }

    async fn owner(&self, account: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.iam.owner(account, key).await
    }

    async fn last_used(&self, user: &UserId, keys: &[String]) -> LastUses {
        self.iam.last_used(user, keys).await
    }
}

/// `listing`, but "no such user" becomes a refusal if IAM did not report the spelling itself.
fn trusted_listing(listing: KeyListing, name: &str, is_of_iam: bool) -> KeyListing {
    if is_of_iam || *listing.answer() != ListingAnswer::NoSuchUser {
        return listing;
    }
    // INVARIANT (a typed name closes nothing): a close needs IAM's own spelling.
    let reason =
        format!("IAM has no user `{name}`, but the user's name may be spelled differently in IAM");
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
    fn no_such_user_counts_only_for_iams_own_spelling() {
        let none = || KeyListing::no_such_user(at(1));
        assert_eq!(trusted_listing(none(), "Alice", true), none());
        let typed = trusted_listing(none(), "ALICE", false);
        assert!(matches!(typed.answer(), ListingAnswer::Refused { .. }));
        assert_eq!(typed.requested_at(), at(1));
        let refused = KeyListing::refused(at(1), "denied");
        assert_eq!(trusted_listing(refused.clone(), "ALICE", false), refused);
    }
}
