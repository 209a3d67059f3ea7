//! Who made a change.

use crate::detect::record::CloudTrailRecord;
use crate::detect::text::bounded;

/// Who made a change, as CloudTrail tells it. Hostile text, bounded in length.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor {
    /// `userIdentity.type`: `IAMUser`, `AssumedRole`, `Root`, …
    pub kind: Option<String>,
    /// `userIdentity.arn`.
    pub arn: Option<String>,
    /// `userIdentity.userName`, only for an IAM user: root's is the account alias.
    pub name: Option<String>,
    /// `userIdentity.accountId`; may be another account than the user's.
    pub account: Option<String>,
    /// The access key that signed the call.
    pub access_key_id: Option<String>,
    /// An IP address or a service's name.
    pub source_ip: Option<String>,
    /// The user agent.
    pub user_agent: Option<String>,
    /// Whether the session was authenticated with MFA; unknown where CloudTrail does not say.
    pub mfa: Option<bool>,
    /// Whether the call came from the console.
    pub console: bool,
    /// The AWS service that made the call on somebody's behalf.
    pub invoked_by: Option<String>,
}

impl Actor {
    /// The actor of `record`.
    #[must_use]
    pub fn of(record: &CloudTrailRecord) -> Self {
        let identity = &record.user_identity;
        let kept = |text: &Option<String>| text.as_deref().map(bounded);
        let is_iam_user = identity.kind.as_deref() == Some("IAMUser");
        let user_agent = kept(&record.user_agent);
        Self {
            kind: kept(&identity.kind),
            arn: kept(&identity.arn),
            name: kept(&identity.user_name).filter(|_| is_iam_user),
            account: kept(&identity.account_id),
            access_key_id: kept(&identity.access_key_id).filter(|id| !id.is_empty()),
            source_ip: kept(&record.source_ip_address),
            mfa: match identity
                .session_context
                .attributes
                .mfa_authenticated
                .as_deref()
            {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            },
            console: record.session_credential_from_console.as_deref() == Some("true")
                || matches!(
                    user_agent.as_deref(),
                    Some("signin.amazonaws.com" | "console.amazonaws.com" | "AWS Internal")
                ),
            user_agent,
            invoked_by: kept(&identity.invoked_by),
        }
    }

    /// The best name there is for the actor, for a line of text.
    #[must_use]
    pub fn label(&self) -> &str {
        self.arn
            .as_deref()
            .or(self.invoked_by.as_deref())
            .or(self.name.as_deref())
            .or(self.kind.as_deref())
            .unwrap_or("unknown")
    }
}
