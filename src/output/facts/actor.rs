//! Who made a change, in words.

use crate::detect::actor::Actor;
use crate::detect::finding::{Finding, Opener};
use crate::detect::relation::{Relation, is_own};
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
        .filter(|actor| is_own(actor, finding.user()))
        .find_map(|actor| actor.arn.as_deref())
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
        rows.extend(self.actor_rows(&opener.actor, opener.relation));
        rows.extend(opener.event_id.as_ref().map(|id| ("event", self.id(id))));
        rows
    }

    /// What is known of `actor`, by name, and how the actor relates to the user, if that was judged.
    fn actor_rows(&self, actor: &Actor, relation: Option<Relation>) -> Vec<(&'static str, String)> {
        let known = |text: Option<String>| text.unwrap_or_else(|| "not known".to_owned());
        let source_ip = actor.source_ip.as_deref().map(|text| self.text(text));
        let user_agent = actor.user_agent.as_deref().map(|text| self.free_text(text));
        let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let is_own = is_own(actor, self.finding().user());
        let relation = relation.or(is_own.then_some(Relation::Own));
        let relation = relation.map_or_else(String::new, |known| format!(" ({})", known.words()));
        let mut rows = vec![("actor", format!("{}{relation}", self.id(actor.label())))];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::escape::Place;
    use crate::output::invocation::NOWHERE;
    use crate::output::testing::{last_uses, opened, opener};

    #[test]
    fn an_actor_is_shown_with_its_relation_to_the_user() {
        let (alert, last_uses) = (opened(), last_uses());
        let facts = Facts {
            alert: &alert,
            last_uses: &last_uses,
            place: Place::PlainText,
            invocation: &NOWHERE,
        };
        let shown = |relation: Option<Relation>, name: &str| {
            let event = Opener {
                relation,
                actor: crate::detect::testing::actor(name),
                ..opener("AKIANEW")
            };
            let mut rows = facts.opener_rows(&event).into_iter();
            rows.find(|(name, _)| *name == "actor").unwrap().1
        };
        let arn = |name: &str| format!("arn:aws:iam::111122223333:user/{name}");
        assert_eq!(shown(None, "bob"), arn("bob"));
        assert_eq!(
            shown(Some(Relation::Unfamiliar), "bob"),
            arn("bob") + " (not the user; has no record of key rotations in this account)"
        );
        let itself = arn("alice") + " (the user itself)";
        assert_eq!(shown(Some(Relation::Own), "alice"), itself);
        assert_eq!(shown(None, "alice"), itself, "as former releases left it");
    }
}
