//! Who made a change, in words.

use crate::detect::decision::relation::{Relation, is_own};
use crate::detect::events::actor::Actor;
use crate::detect::findings::finding::{Finding, KeyActivation};
use crate::output::facts::Facts;
use crate::output::time::{duration, readable};

/// The user's own ARN. Only an event made by the user contains it.
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
    pub(in crate::output) fn opener_heading(&self, opener: &KeyActivation) -> String {
        format!("Who {} {}", did(opener), self.id(&opener.key))
    }

    /// A sentence that names the actor who made the second key active, if an event shows it.
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

    /// One sentence for each other key that was made active, with its actor.
    pub(in crate::output) fn joined(&self) -> Vec<String> {
        let joined = self.finding().other_activations.iter();
        let sentence = |event: &KeyActivation| {
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

    /// What is known about `opener`, as names and values.
    pub(in crate::output) fn opener_rows(
        &self,
        opener: &KeyActivation,
    ) -> Vec<(&'static str, String)> {
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

    /// What is known about `actor`, as names and values, with its relation to the user if that
    /// was judged.
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

/// What the actor of `opener` did to its key. An update to `Active` may have changed nothing if
/// the key's earlier status is not known, so it is not called a reactivation.
pub(in crate::output) fn did(opener: &KeyActivation) -> &'static str {
    match opener {
        KeyActivation { created: true, .. } => "created",
        _ if opener.is_proven() => "reactivated",
        _ => "activated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::escape::OutputContext;
    use crate::output::invocation::NOWHERE;
    use crate::output::testing::{last_uses, opened, opener};

    #[test]
    fn actor_row_shows_relation_to_user() {
        let (alert, last_uses) = (opened(), last_uses());
        let facts = Facts {
            alert: &alert,
            last_uses: &last_uses,
            context: OutputContext::PlainText,
            invocation: &NOWHERE,
        };
        let shown = |relation: Option<Relation>, name: &str| {
            let event = KeyActivation {
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
