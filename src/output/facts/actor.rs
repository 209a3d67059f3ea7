//! Who made a change, in words.

use crate::detect::actor::Actor;
use crate::detect::finding::{Finding, Opener};
use crate::output::facts::Facts;
use crate::output::time::{duration, readable};

/// The user's own ARN, which only an event made by the user tells.
pub(in crate::output) fn user_arn(finding: &Finding) -> Option<&str> {
    let by_opener = finding.opener.as_ref().map(|opener| &opener.actor);
    let by_closing = finding
        .closing
        .as_ref()
        .and_then(|closing| closing.actor.as_ref());
    [by_opener, by_closing]
        .into_iter()
        .flatten()
        .filter(|actor| is_the_user(actor, finding))
        .find_map(|actor| actor.arn.as_deref())
}

fn is_the_user(actor: &Actor, finding: &Finding) -> bool {
    let user = finding.user();
    let is_same_account = actor.account.as_deref() == Some(user.account());
    let is_same_name = if user.is_root() {
        actor.kind.as_deref() == Some("Root")
    } else {
        actor
            .name
            .as_deref()
            .is_some_and(|name| name.to_lowercase() == user.name())
    };
    is_same_account && is_same_name
}

impl Facts<'_> {
    /// What `opener` did, as a heading.
    pub(in crate::output) fn opener_heading(&self, opener: &Opener) -> String {
        format!("Who {} {}", did(opener), self.id(&opener.key))
    }

    /// Who made the second key active, if an event told, as a sentence.
    pub(in crate::output) fn opened_by(&self) -> Option<String> {
        let opener = self.finding().opener.as_ref()?;
        let ip = opener.actor.source_ip.as_ref();
        let from = ip.map_or_else(String::new, |ip| format!(", from {}", self.text(ip)));
        Some(format!(
            "{} {} {}{from}.",
            self.id(opener.actor.label()),
            did(opener),
            self.id(&opener.key)
        ))
    }

    /// Who made other keys active, as a sentence each.
    pub(in crate::output) fn joined(&self) -> Vec<String> {
        let joined = self.finding().joined.iter();
        let sentence = |event: &Opener| {
            let ip = event.actor.source_ip.as_ref();
            let from = ip.map_or_else(String::new, |ip| format!(", from {}", self.text(ip)));
            format!(
                "{} was {} by {} at {}{from}.",
                self.id(&event.key),
                did(event),
                self.id(event.actor.label()),
                readable(event.at)
            )
        };
        joined.map(sentence).collect()
    }

    /// What is known of `opener`, by name.
    pub(in crate::output) fn opener_rows(&self, opener: &Opener) -> Vec<(&'static str, String)> {
        let mut rows = vec![("when", readable(opener.at))];
        rows.extend(opener.inactive_since.map(|since| {
            let dormant = duration(opener.at - since);
            (
                "inactive since",
                format!("{}, for {dormant}", readable(since)),
            )
        }));
        rows.extend(self.actor_rows(&opener.actor));
        rows.extend(opener.event_id.as_ref().map(|id| ("event", self.id(id))));
        rows
    }

    /// What is known of `actor`, by name.
    fn actor_rows(&self, actor: &Actor) -> Vec<(&'static str, String)> {
        let known = |text: Option<String>| text.unwrap_or_else(|| "not known".to_owned());
        let source_ip = actor.source_ip.as_deref().map(|text| self.text(text));
        let user_agent = actor.user_agent.as_deref().map(|text| self.free_text(text));
        let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let itself = if is_the_user(actor, self.finding()) {
            " (the user itself)"
        } else {
            ""
        };
        let mut rows = vec![("actor", format!("{}{itself}", self.id(actor.label())))];
        if let (Some(service), Some(_)) = (&actor.invoked_by, &actor.arn) {
            rows.push(("through", self.text(service)));
        }
        rows.extend(
            actor
                .access_key_id
                .as_ref()
                .map(|key| ("signed with", self.id(key))),
        );
        rows.extend([
            ("source IP", known(source_ip)),
            ("user agent", known(user_agent)),
            ("MFA", actor.mfa.map_or("not known".to_owned(), yes_or_no)),
            ("console", yes_or_no(actor.console)),
        ]);
        rows
    }
}

/// What an opener did to its key. Of an update to `Active`, before which nothing is known of the key, it is not known
/// whether it changed anything.
pub(in crate::output) fn did(opener: &Opener) -> &'static str {
    match opener {
        Opener { created: true, .. } => "created",
        _ if opener.is_proven() => "reactivated",
        _ => "activated",
    }
}
