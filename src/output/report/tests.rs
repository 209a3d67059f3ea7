use chrono::TimeDelta;

use super::*;
use crate::detect::findings::alert::Alert;
use crate::detect::findings::finding::FindingStatus;
use crate::detect::testing::{at, exemption};
use crate::detect::trail::audit::{AuditDraft, AuditKind, BrokenTrailError, ChainHead};
use crate::output::hostile::first_unseen;
use crate::output::report::audit_trail::TrailState;
use crate::output::testing::{
    HOSTILE, closed, estimated, every_alert, exempt, filled_with, opened,
};

/// A report on the findings of `alerts`, each with a trail that opens and closes it to match.
fn report(alerts: &[Alert]) -> Report {
    let mut findings: Vec<Finding> = alerts.iter().map(|alert| alert.finding.clone()).collect();
    let mut trails: BTreeMap<UserId, (ChainHead, Vec<_>)> = BTreeMap::new();
    for (finding, episode) in findings.iter_mut().zip(1..) {
        finding.id.episode = episode;
        let (head, entries) = trails.entry(finding.user().clone()).or_default();
        let closing = (finding.status == FindingStatus::Closed).then_some(AuditKind::FindingClosed);
        for kind in [Some(AuditKind::FindingOpened), closing]
            .into_iter()
            .flatten()
        {
            let name = finding.display_name.clone();
            let draft = AuditDraft {
                at: finding.opened_at,
                recorded_at: finding.detected_at,
                kind,
                finding_id: Some(finding.id.to_string()),
                event_id: Some(name.clone()),
                actor: Some(name.clone()),
                details: BTreeMap::from([(name.clone(), name)]),
            };
            entries.push(head.append(finding.user(), draft));
        }
    }
    let uses = findings.iter().map(|finding| {
        let line = format!("used by {}", finding.display_name);
        (finding.user().clone(), vec![line])
    });
    let uses = uses.collect();
    let trails = trails.into_iter().map(|(user, (_, entries))| {
        let state = TrailState::Whole;
        (user, Trail { entries, state })
    });
    Report {
        store: "file findings.db".to_owned(),
        command: "secondkey report --html report.html".to_owned(),
        period: Period {
            from: at(0),
            to: at(90_000),
            now: at(90_000),
        },
        accounts: BTreeSet::from(["111122223333".to_owned()]),
        findings,
        verdicts: BTreeMap::new(),
        trails: trails.collect(),
        exemptions: vec![exemption("one")],
        unread: vec![],
        uses,
    }
}

/// The tags of `page`, in order, without their attributes.
fn tags(page: &str) -> Vec<&str> {
    let ends = |character: char| !character.is_ascii_alphanumeric() && character != '/';
    let tags = page.split('<').skip(1);
    tags.map(|tag| tag.split(ends).next().unwrap()).collect()
}

/// The JSON document of `page`.
fn details_of(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("id=\"details\">").unwrap();
    let (document, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(document).unwrap()
}

#[test]
fn hostile_text_adds_no_tag_or_hidden_character_to_page() {
    let filled = |text: &str| {
        let alerts: Vec<Alert> = every_alert()
            .into_iter()
            .map(|alert| filled_with(text, alert))
            .collect();
        let mut report = report(&alerts);
        report.accounts = BTreeSet::from([text.to_owned()]);
        report.store = text.to_owned();
        report.command = text.to_owned();
        report.unread = vec![text.to_owned()];
        let exemption = exemption(text);
        report.exemptions = vec![Exemption {
            owner: text.to_owned(),
            reason: text.to_owned(),
            user_pattern: text.to_owned(),
            actor_pattern: text.to_owned(),
            ..exemption
        }];
        html(&report).unwrap()
    };
    let harmless = filled("harmless");
    for text in HOSTILE.iter() {
        let page = filled(text);
        assert_eq!(first_unseen(&page), None, "{text:?}");
        assert_eq!(tags(&page), tags(&harmless), "{text:?}");
        let details = details_of(&page);
        let texts = details["texts"].as_array().unwrap();
        assert!(texts.len() > 10);
        for shown in texts {
            assert_eq!(first_unseen(shown.as_str().unwrap()), None, "{text:?}");
        }
    }
}

#[test]
fn page_without_findings_says_so_and_has_no_script() {
    let page = html(&report(&[])).unwrap();
    assert!(page.contains("no user had two active access keys in this period"));
    assert!(!page.contains("<script"));
}

#[test]
fn page_lists_findings_in_period_with_open_ones_first() {
    let mut report = report(&[closed(), opened(), exempt()]);
    let statuses = |report: &Report| -> Vec<FindingStatus> {
        let findings = report.findings_of_period();
        findings.iter().map(|finding| finding.status).collect()
    };
    let all = [
        FindingStatus::Open,
        FindingStatus::Suppressed,
        FindingStatus::Closed,
    ];
    assert_eq!(statuses(&report), all);
    report.period.from = at(20_000);
    assert_eq!(statuses(&report), all[..2]);
    let page = html(&report).unwrap();
    assert!(page.contains("2 findings"), "{page}");
    assert_eq!(details_of(&page)["findings"].as_array().unwrap().len(), 2);
}

#[test]
fn broken_and_unread_trails_are_reported_at_top_and_per_finding() {
    let whole = html(&report(&[opened()])).unwrap();
    assert!(whole.contains("The audit trail is intact"));
    assert!(!whole.contains("class=\"trouble\""));
    for (state, word) in [
        (TrailState::Broken(BrokenTrailError::Missing(2)), "BROKEN"),
        (TrailState::Unread("no access".to_owned()), "UNREAD"),
    ] {
        let mut report = report(&[opened()]);
        for trail in report.trails.values_mut() {
            trail.state = state.clone();
        }
        let integrity = integrity::Integrity::of(&report);
        assert_eq!(integrity.broken + integrity.unread, 1);
        let page = html(&report).unwrap();
        assert!(page.contains("The evidence is not intact"));
        assert!(!page.contains("The audit trail is intact"));
        let at_the_finding = format!("<strong class=\"trouble\">{word}</strong>");
        assert!(page.contains(&at_the_finding), "{page}");
        assert_eq!(details_of(&page)["findings"][0]["state"], word);
    }
}

#[test]
fn estimated_start_is_marked_and_not_in_time_to_detect() {
    let page = html(&report(&[estimated(opened()), estimated(closed())])).unwrap();
    for shown in [
        "Oldest open</span><span class=\"figure\">at most 24 h 59 min</span>",
        "data-label=\"Age\">at most 24 h 59 min</td>",
        "at the earliest 2023-11-14 22:13:22",
        "no finding from an event, n&nbsp;=&nbsp;0",
        "2 of 2 findings do not count",
        "The start of 2 of 2 findings is an estimate",
        "1 of these 1 have an estimated start",
        "MEDIUM: at the earliest since 2023-11-14 22:13:22, open for at most 24 h 59 min",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let known = html(&report(&[opened(), closed()])).unwrap();
    for not_shown in ["at most 24 h", "at the earliest", "is an estimate"] {
        assert!(!known.contains(not_shown), "{not_shown}");
    }
}

#[test]
fn finding_that_only_the_trail_has_is_a_problem() {
    let mut report = report(&[opened()]);
    report.period.now += TimeDelta::hours(1);
    assert!(integrity::Integrity::of(&report).is_whole());
    report.findings.clear();
    let integrity = integrity::Integrity::of(&report);
    assert_eq!(integrity.differing, 1);
    assert_eq!(
        integrity.troubles[0].subject,
        "finding 111122223333/alice/1"
    );
}

#[test]
fn policy_allows_only_the_pages_own_style_and_script() {
    let policy = policy();
    assert!(policy.starts_with("default-src 'none';"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    let page = html(&report(&[opened()])).unwrap();
    assert!(page.contains(&format!("<style>{STYLE}</style>")));
    assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
    // The policy would reject style attributes and handlers, and no error would show why the page
    // looks odd.
    for refused in [
        " style=\"",
        " onclick=",
        " src=",
        "http:",
        "https:",
        "@import",
        "url(",
    ] {
        assert!(!page.contains(refused), "{refused}");
    }
}

#[test]
fn key_uses_are_shown_only_for_open_findings() {
    let used_by = |alert: Alert| {
        let page = html(&report(&[alert])).unwrap();
        let details = details_of(&page);
        let texts: Vec<_> = details["texts"].as_array().unwrap().iter().collect();
        let has = |text: &str| texts.iter().any(|one| **one == text);
        (has("Who uses the keys"), has("used by Alice"))
    };
    assert_eq!(used_by(opened()), (true, true));
    assert_eq!(used_by(closed()), (false, false));
}
