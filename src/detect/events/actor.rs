//! Who made a change.

use crate::detect::arn::Arn;
use crate::detect::events::cloudtrail_record::CloudTrailRecord;
use crate::detect::events::text::bounded;
use crate::detect::user::UserId;

/// Who made a change, according to CloudTrail. Untrusted text, bounded in length.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor {
    /// `userIdentity.type`: `IAMUser`, `AssumedRole`, `Root`, …
    pub kind: Option<String>,
    /// `userIdentity.arn`.
    pub arn: Option<String>,
    /// `userIdentity.userName`, only for an IAM user: for root it is the account alias.
    pub name: Option<String>,
    /// `userIdentity.accountId`; may differ from the user's account.
    pub account: Option<String>,
    /// The access key that signed the call.
    pub access_key_id: Option<String>,
    /// An IP address or a service's name.
    pub source_ip: Option<String>,
    /// The user agent.
    pub user_agent: Option<String>,
    /// Whether the session used MFA; `None` if CloudTrail does not say.
    pub mfa: Option<bool>,
    /// Whether the call came from the console.
    pub console: bool,
    /// The AWS service that made the call on behalf of a principal.
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

    /// The most useful name for the actor in a line of text.
    #[must_use]
    pub fn label(&self) -> &str {
        self.arn
            .as_deref()
            .or(self.invoked_by.as_deref())
            .or(self.name.as_deref())
            .or(self.kind.as_deref())
            .unwrap_or("unknown")
    }

    /// The long-term access key that signed the call, and its user.
    ///
    /// Ids of long-term keys begin with `AKIA`, those of temporary ones with `ASIA` (IAM user
    /// guide, unique identifiers). `None` if an AWS service made the call on the user's behalf.
    #[must_use]
    pub fn long_term_key(&self) -> Option<(UserId, &str)> {
        let key = self.access_key_id.as_deref()?;
        let is_direct = self.invoked_by.is_none() && key.starts_with("AKIA");
        let of_arn = || Some(Arn::parse(self.arn.as_deref()?)?.account);
        let account = self.account.as_deref().or_else(of_arn);
        let account = account.filter(|account| is_direct && !account.is_empty())?;
        let user = match self.kind.as_deref()? {
            "IAMUser" => {
                let of_arn = || self.arn.as_deref()?.rsplit('/').next();
                UserId::new(account, self.name.as_deref().or_else(of_arn)?)
            }
            "Root" => UserId::root(account),
            _ => return None,
        };
        Some((user, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_term_key_that_called_by_itself_is_named_with_its_user() {
        let actor = |kind: &str, key: &str| Actor {
            kind: Some(kind.to_owned()),
            arn: Some("arn:aws:iam::111122223333:user/team/Sam".to_owned()),
            access_key_id: Some(key.to_owned()),
            ..Actor::default()
        };
        let of = |actor: &Actor| actor.long_term_key().map(|(user, _)| user);
        let sam = UserId::new("111122223333", "sam");
        assert_eq!(of(&actor("IAMUser", "AKIA1")), Some(sam));
        assert_eq!(
            of(&actor("Root", "AKIA1")),
            Some(UserId::root("111122223333"))
        );
        assert_eq!(of(&actor("AssumedRole", "AKIA1")), None);
        assert_eq!(of(&actor("IAMUser", "ASIA1")), None);
        let by_a_service = Actor {
            invoked_by: Some("cloudformation.amazonaws.com".to_owned()),
            ..actor("IAMUser", "AKIA1")
        };
        assert_eq!(of(&by_a_service), None);
        let without_account = Actor {
            arn: None,
            ..actor("IAMUser", "AKIA1")
        };
        assert_eq!(of(&without_account), None);
    }
}
