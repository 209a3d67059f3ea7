use chrono::TimeDelta;

use super::*;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::alert::Alert;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::records::account_record::Unreachable;
use crate::detect::records::coverage::{AccountCoverage, FullCheck, FullCheckKind};
use crate::detect::testing::{at, exemption};
use crate::detect::trail::audit::{AuditDraft, AuditKind, BrokenTrailError, ChainHead};
use crate::output::control::{Control, NO_ROOT_KEY, ONE_ACTIVE_KEY};
use crate::output::hostile::first_unseen;
use crate::output::report::audit_trail::TrailState;
use crate::output::testing::{
    HOSTILE, closed, estimated, every_alert, exempt, filled_with, last_uses_with, opened, root,
    stored,
};

/// When the reports are made: an hour after the rotation window of an open finding.
const NOW: i64 = 90_000;

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
            to: at(NOW),
            now: at(NOW),
        },
        accounts: BTreeMap::from([account("111122223333")]),
        findings: findings
            .into_iter()
            .map(|finding| stored(finding, at(NOW)))
            .collect(),
        trails: trails.collect(),
        exemptions: vec![exemption("one")],
        unread: vec![],
        uses,
    }
}

/// The account `id`, with one user, and swept three hours before the report.
fn account(id: &str) -> (String, CheckedAccount) {
    let coverage = AccountCoverage {
        account: id.to_owned(),
        all_users: Some(FullCheck {
            kind: FullCheckKind::Sweep,
            at: at(NOW - 3 * 3_600),
        }),
        ..AccountCoverage::default()
    };
    let known = CheckedAccount {
        coverage,
        users: 1,
        listed_at: Some(at(NOW - 60)),
    };
    (id.to_owned(), known)
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
        let (id, mut known) = account(text);
        known.coverage.unreachable = Some(Unreachable {
            since: at(0),
            reason: text.to_owned(),
        });
        report.accounts = BTreeMap::from([(id, known)]);
        for one in &mut report.findings {
            one.last_uses = last_uses_with(text);
        }
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
        findings
            .iter()
            .map(|one| one.alert.finding.status)
            .collect()
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
        "HIGH: at the earliest since 2023-11-14 22:13:22, open for at most 24 h 59 min",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let known = html(&report(&[opened(), closed()])).unwrap();
    for not_shown in ["at most 24 h", "at the earliest", "is an estimate"] {
        assert!(!known.contains(not_shown), "{not_shown}");
    }
}

#[test]
fn what_is_open_shows_its_verdict_and_the_use_of_each_key() {
    let page = html(&report(&[opened()])).unwrap();
    for shown in [
        "<p>Retire AKIANEW: it was never used.</p>",
        "<span class=\"code\">AKIAOLD</span> active, 401 days old, used 27 h ago, s3, us-east-1</span>",
        "<span class=\"code\">AKIANEW</span> active, 24 h 59 min old, never used</span>",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let closed = html(&report(&[closed()])).unwrap();
    assert!(!closed.contains("AKIAOLD</span>"));
}

#[test]
fn age_and_severity_of_an_open_finding_are_as_of_its_verdict() {
    let mut known = report(&[opened()]);
    let page = html(&known).unwrap();
    assert!(
        page.contains("<span class=\"pill high\">HIGH</span>"),
        "{page}"
    );
    assert!(
        page.contains("data-label=\"Age\">24 h 59 min</td>"),
        "{page}"
    );
    assert!(!page.contains("Verdicts are as of"));
    // The logs end two hours after the opening: nothing is known about the other 23 hours.
    let until = at(2 + 2 * 3_600);
    known.findings = vec![stored(known.findings[0].alert.finding.clone(), until)];
    known.findings[0].alert.finding.severity = Severity::Medium;
    let page = html(&known).unwrap();
    for shown in [
        "Verdicts are as of 2023-11-15 00:13:22 UTC",
        "data-label=\"Age\">2 h</td>",
        "Oldest open</span><span class=\"figure\">2 h</span>",
        "<span class=\"pill medium\">MEDIUM</span>",
        "open for 2 h by 2023-11-15 00:13:22; nothing later is known",
        "open, and nothing later is known</li>",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn findings_count_under_the_control_that_they_fail() {
    let page = html(&report(&[opened(), closed(), root()])).unwrap();
    let row = |control: &Control, open: &str, closed: usize| {
        format!(
            "<th scope=\"row\">{}</th><td data-label=\"Control\">{}</td>{open}\
             <td class=\"number\" data-label=\"Suppressed\">0</td>\
             <td class=\"number\" data-label=\"Closed\">{closed}</td>",
            control.requirement, control.numbers
        )
    };
    let one_open = "<td class=\"number trouble\" data-label=\"Open\">1</td>";
    for row in [
        row(&ONE_ACTIVE_KEY, one_open, 1),
        row(&NO_ROOT_KEY, one_open, 0),
    ] {
        assert!(page.contains(&row), "{row}: {page}");
    }
}

#[test]
fn coverage_says_when_accounts_were_checked_and_what_is_missing() {
    let mut report = report(&[]);
    let page = html(&report).unwrap();
    for shown in [
        "1 account: 1 check overdue.",
        "<span class=\"account\">111122223333</span>",
        "sweep of all users</span> <span class=\"time\">2023-11-15 20:13:20</span>, 3 h ago",
        "check of one user</span> <span class=\"time\">2023-11-15 23:12:20</span>, 1 min ago",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    report.accounts.clear();
    let page = html(&report).unwrap();
    assert!(page.contains("no data about any account, so this report covers none"));
}

#[test]
fn only_an_account_id_is_kept_on_one_line() {
    for (text, is_id) in [
        ("111122223333", true),
        ("11112222333", false),
        ("1111222233334", false),
        ("11112222333x", false),
        ("\u{661}11122223333", false),
        ("", false),
    ] {
        assert_eq!(is_account_id(text), is_id, "{text}");
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
