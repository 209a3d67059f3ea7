//! The words of version 1 as types, so that the schema lists every word, and none is forgotten.

use serde::Serialize;

use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::events::leak::LeakSignal;
use crate::detect::findings::alert::{AlertKind, FindingUpdate};
use crate::detect::findings::digest::DigestKind;
use crate::detect::findings::finding::{CloseReason, FindingStatus, FoundBy, KeyActivation};
use crate::detect::keys::listing::KeyStatus;
use crate::output::commands::Purpose;

/// Defines the words of a field. With `of TYPE`, each variant of the domain's type has one.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
    ($(#[$about:meta])* $name:ident of $type:ty { $($(#[$doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        words!($(#[$about])* $name { $($(#[$doc])* $variant => $word),+ });

        impl From<$type> for $name {
            fn from(value: $type) -> Self {
                match value {
                    $(<$type>::$variant => Self::$variant),+
                }
            }
        }
    };
}

words!(
    /// The state of a finding.
    StatusV1 of FindingStatus {
        /// Two keys are active.
        Open => "open",
        /// Two keys are active, and an exemption suppresses the finding.
        Suppressed => "suppressed",
        /// The finding has ended.
        Closed => "closed",
    }
);

words!(
    /// The level of harm.
    SeverityV1 of Severity {
        /// A second active key.
        Medium => "MEDIUM",
        /// There is a reason for a higher level.
        High => "HIGH",
        /// The keys are root's.
        Critical => "CRITICAL",
    }
);

words!(
    /// Why a severity is above `MEDIUM`.
    SeverityReasonV1 of SeverityReason {
        /// The keys are root's.
        Root => "root",
        /// The rotation window has ended.
        OutlivedWindow => "outlived_window",
        /// The actor is neither the user nor a trusted actor.
        UntrustedActor => "untrusted_actor",
        /// The key had been inactive for over 30 days.
        DormantKey => "dormant_key",
        /// The actor is not the user, and has no record of key rotations in this account.
        UnfamiliarActor => "unfamiliar_actor",
        /// AWS reported that a key has leaked.
        LeakedKey => "leaked_key",
    }
);

words!(
    /// Why a finding is closed.
    CloseReasonV1 of CloseReason {
        /// A key was deactivated.
        Deactivated => "deactivated",
        /// A key was deleted.
        Deleted => "deleted",
        /// The user was deleted.
        UserDeleted => "user_deleted",
        /// The user was renamed; a finding of the new name continues this one.
        Renamed => "renamed",
        /// Two active keys were never confirmed.
        NeverConfirmed => "never_confirmed",
        /// The account left the organization.
        AccountLeft => "account_left",
        /// The account is excluded.
        AccountExcluded => "account_excluded",
    }
);

words!(
    /// How a finding was found.
    FoundByV1 of FoundBy {
        /// By an event.
        Event => "event",
        /// By a sweep; no event had reported it.
        Sweep => "sweep",
        /// By the first sweep of the account.
        Baseline => "baseline",
    }
);

words!(
    /// The state of a key.
    KeyStatusV1 of KeyStatus {
        /// It can sign calls.
        Active => "Active",
        /// It cannot sign calls, and can be activated again.
        Inactive => "Inactive",
        /// It no longer exists.
        Gone => "Deleted",
    }
);

words!(
    /// How an actor relates to the user.
    RelationV1 of Relation {
        /// The actor is the user.
        Own => "own",
        /// The actor matches a pattern of trusted actors.
        Trusted => "trusted",
        /// The actor completed a rotation in the account before.
        Familiar => "familiar",
        /// None of these.
        Unfamiliar => "unfamiliar",
    }
);

words!(
    /// How AWS reported a leak.
    LeakSignalV1 of LeakSignal {
        /// AWS quarantined the user.
        Quarantine => "quarantine",
        /// AWS Health reported an exposed key.
        Exposed => "exposed",
        /// AWS Health reported a key that may be exposed.
        ExposureSuspected => "exposure_suspected",
    }
);

words!(
    /// What changed about an open finding.
    UpdateV1 of FindingUpdate {
        /// Which keys are active.
        Keys => "keys",
        /// Who made the second key active is now known.
        Opener => "opener",
        /// It continues the finding of the user's former name.
        Continues => "continues",
        /// Its beginning was corrected.
        OpenedAt => "since",
        /// The severity was raised.
        Severity => "severity",
        /// The rotation window ended, and the severity was already high.
        OutlivedWindow => "outlived_window",
        /// An exemption suppresses it from now on.
        Exempted => "exempted",
        /// No exemption suppresses it any more.
        ExemptionEnded => "exemption_ended",
        /// AWS reported that a key has leaked.
        Leaked => "leaked",
    }
);

words!(
    /// What a command does.
    PurposeV1 of Purpose {
        /// It deactivates the key.
        Deactivate => "deactivate",
        /// It activates the key again.
        RollBack => "roll_back",
        /// It deletes the key for good.
        Delete => "delete",
    }
);

words!(
    /// What happened to a finding.
    AlertKindV1 {
        /// A second key is active.
        Opened => "opened",
        /// Something about the open finding changed.
        Updated => "updated",
        /// Fewer than two keys are active.
        Closed => "closed",
    }
);

words!(
    /// How a finding changed since the last scan.
    ChangeV1 {
        /// This scan found it.
        New => "new",
        /// It is open. Only `scan` compares with an earlier run and knows which findings are new.
        Open => "open",
        /// It is closed.
        Closed => "closed",
    }
);

words!(
    /// What made a key active.
    HowV1 {
        /// The key was created.
        Created => "created",
        /// The key had been inactive.
        Reactivated => "reactivated",
        /// It is not known whether the key was inactive before.
        SetActive => "set_active",
    }
);

/// Why a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub(crate) enum DigestReasonV1 {
    /// The first sweep of the account found existing findings.
    Baseline,
    /// Findings have outlived their rotation window.
    Reminder,
}

impl From<DigestKind> for DigestReasonV1 {
    fn from(kind: DigestKind) -> Self {
        match kind {
            DigestKind::Baseline => Self::Baseline,
            DigestKind::Reminder => Self::Reminder,
        }
    }
}

impl From<&AlertKind> for AlertKindV1 {
    fn from(kind: &AlertKind) -> Self {
        match kind {
            AlertKind::Opened => Self::Opened,
            AlertKind::Updated(_) => Self::Updated,
            AlertKind::Closed => Self::Closed,
        }
    }
}

impl From<&AlertKind> for ChangeV1 {
    fn from(kind: &AlertKind) -> Self {
        match kind {
            AlertKind::Opened => Self::New,
            AlertKind::Updated(_) => Self::Open,
            AlertKind::Closed => Self::Closed,
        }
    }
}

impl From<&KeyActivation> for HowV1 {
    fn from(event: &KeyActivation) -> Self {
        match event {
            KeyActivation { created: true, .. } => Self::Created,
            _ if event.is_proven() => Self::Reactivated,
            _ => Self::SetActive,
        }
    }
}
