#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes the texts so"
)]

use chrono::TimeDelta;
use expect_test::{Expect, expect};

use super::*;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::findings::finding::{CloseReason, FindingId, KeyActivation};
use crate::detect::testing::{at, user};
use crate::detect::user::UserId;
use crate::output::asff;
use crate::output::chat::chat_notification;
use crate::output::commands::{Purpose, command};
use crate::output::hostile::first_link;
use crate::output::invocation::{KeysFrom, NOWHERE, StoreLocation};
use crate::output::json_v1;
use crate::output::testing::{
    HOSTILE, closed, filled_with, last_uses, last_uses_with, opened, opener, root, updated,
};

/// The text for a caller whose findings are in the default file.
fn alert_text(alert: &Alert, last_uses: &LastUses, context: OutputContext) -> AlertText {
    let usual = Invocation {
        store: StoreLocation::Usual,
        ..Invocation::default()
    };
    super::alert_text(alert, last_uses, context, &usual)
}

#[expect(clippy::needless_pass_by_value, reason = "as expect! gives it")]
fn check(alert: &Alert, last_uses: &LastUses, expected: Expect) {
    let text = alert_text(alert, last_uses, OutputContext::PlainText).whole();
    expected.assert_eq(&format!("Subject: {}\n\n{text}", subject(alert)));
}

#[test]
fn plain_opening() {
    check(
        &opened(),
        &last_uses(),
        expect![[r#"
            Subject: [MEDIUM] Second active access key: Alice (111122223333)

            [MEDIUM] Second active access key: Alice (111122223333)

            Confirmed: a listing shows both keys active.
            Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
            The rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC; after that, the severity is HIGH.

            Keys
              AKIAOLD  Active
                created       2022-10-10 22:13:20 UTC, 400 days ago
                last used     2023-11-14 20:13:20 UTC, 2 h ago, by s3, in us-east-1
              AKIANEW  Active
                created       2023-11-14 22:13:22 UTC, 12 s ago
                last used     never

            Who created AKIANEW
              when            2023-11-14 22:13:22 UTC
              actor           arn:aws:iam::111122223333:user/bob
              signed with     ASIABOB
              source IP       198.51.100.7
              user agent      aws-cli/2.15.30 md/awscrt#0.19.19
              MFA             no
              console         no
              event           6f0e3c1a-0000-4000-8000-000000000001

            Do this
              Nothing to deactivate yet: AKIANEW has not been used yet. Move every consumer from AKIAOLD to AKIANEW by 2023-11-15 22:13:22 UTC, then retire AKIAOLD.
              If you did not expect AKIANEW to be created, deactivate it, and keep AKIAOLD.

            Details
              finding         111122223333/alice/1
              audit entry     2
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn opening_with_refused_listing() {
    let mut alert = opened();
    alert.finding.confirmed = false;
    alert.finding.listing_refusal = Some("access denied to role `audit`".to_owned());
    for key in &mut alert.finding.keys {
        key.created = None;
    }
    alert.finding.opener = None;
    check(
        &alert,
        &LastUses::new(),
        expect![[r#"
            Subject: [MEDIUM] Second active access key: Alice (111122223333)

            [MEDIUM] Second active access key: Alice (111122223333)

            Not confirmed: the user's keys could not be listed; this was opened from the event alone.
            Reason: access denied to role `audit`
            The finding cannot close until the keys can be listed.
            Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
            The rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC; after that, the severity is HIGH.

            Keys
              AKIANEW  Active
                created       not known
                last used     not known
              AKIAOLD  Active
                created       not known
                last used     not known

            It is not known who made the second key active; an update follows if an event shows it.

            Do this
              Ask who uses each key: their last use is not known. Deactivate the one that has no consumers.
              To see the calls of AKIAOLD:
                aws cloudtrail lookup-events --max-items 20 --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=AKIAOLD
              To see the calls of AKIANEW:
                aws cloudtrail lookup-events --max-items 20 --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=AKIANEW

            Details
              finding         111122223333/alice/1
              audit entry     2
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn opening_not_yet_confirmed_by_a_listing() {
    let mut alert = opened();
    alert.finding.confirmed = false;
    let text = alert_text(&alert, &last_uses(), OutputContext::PlainText);
    let first = text.body().lines().next().unwrap();
    expect!["Not confirmed: opened from the event alone; no listing has confirmed it yet."]
        .assert_eq(first);
}

#[test]
fn opening_for_root() {
    check(
        &root(),
        &LastUses::new(),
        expect![[r#"
            Subject: [CRITICAL] Second active access key: root (111122223333)

            [CRITICAL] Second active access key: root (111122223333)

            Confirmed: a listing shows both keys active.
            Root's keys are listed from the credential report, which may be up to 4 h old.
            CRITICAL because the keys are root's.
            Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
            The rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC.

            Keys
              access_key_1  Active
                created       2022-10-10 22:13:20 UTC, 400 days ago
                last used     not known
              access_key_2  Active
                created       2023-11-14 22:13:22 UTC, 12 s ago
                last used     not known

            It is not known who made the second key active; an update follows if an event shows it.

            Do this
              Ask what uses root's keys: root should have none. Move their consumers to a role, and deactivate one key at a time.
              Commands for IAM users do not work on root's keys.
              Sign in as root of account 111122223333 > Security credentials > Access keys.

            Details
              finding         111122223333/<root_account>/1
              audit entry     2
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/root --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn dormant_key_reactivated_under_a_new_user_name() {
    let mut alert = opened();
    alert.finding.severity = Severity::High;
    alert.finding.severity_reasons = vec![SeverityReason::DormantKey];
    alert.finding.continues = Some(FindingId {
        user: UserId::new(user().account(), "alicia"),
        episode: 3,
    });
    let opener = alert.finding.opener.as_mut().unwrap();
    "AKIAOLD".clone_into(&mut opener.key);
    opener.created = false;
    opener.inactive_since = Some(at(2) - TimeDelta::days(45));
    check(
        &alert,
        &last_uses(),
        expect![[r#"
            Subject: [HIGH] Second active access key: Alice (111122223333)

            [HIGH] Second active access key: Alice (111122223333)

            Confirmed: a listing shows both keys active.
            HIGH because the key had been inactive for over 30 days.
            Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
            The rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC.

            Keys
              AKIAOLD  Active
                created       2022-10-10 22:13:20 UTC, 400 days ago
                last used     2023-11-14 20:13:20 UTC, 2 h ago, by s3, in us-east-1
              AKIANEW  Active
                created       2023-11-14 22:13:22 UTC, 12 s ago
                last used     never

            Who reactivated AKIAOLD
              when            2023-11-14 22:13:22 UTC
              inactive since  2023-09-30 22:13:22 UTC, for 45 days
              actor           arn:aws:iam::111122223333:user/bob
              signed with     ASIABOB
              source IP       198.51.100.7
              user agent      aws-cli/2.15.30 md/awscrt#0.19.19
              MFA             no
              console         no
              event           6f0e3c1a-0000-4000-8000-000000000001

            Do this
              Ask why the key was reactivated: it had been inactive for over 30 days. If nobody expected this, deactivate it again.
              To see the calls of AKIAOLD:
                aws cloudtrail lookup-events --max-items 20 --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=AKIAOLD
              To see the calls of AKIANEW:
                aws cloudtrail lookup-events --max-items 20 --lookup-attributes AttributeKey=AccessKeyId,AttributeValue=AKIANEW

            Details
              finding         111122223333/alice/1
              continues       111122223333/alicia/3, the user's former name
              audit entry     2
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn update_of_an_open_finding() {
    check(
        &updated(),
        &last_uses(),
        expect![[r#"
            Subject: [HIGH] Still two active access keys: Alice (111122223333)

            [HIGH] Still two active access keys: Alice (111122223333)

            Changed: the severity was raised.
            Confirmed: a listing shows both keys active.
            HIGH because the rotation window has ended.
            Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
            The rotation window ended at 2023-11-15 22:13:22 UTC (5 min ago).

            Keys
              AKIAOLD  Active
                created       2022-10-10 22:13:20 UTC, 401 days ago
                last used     2023-11-14 20:13:20 UTC, 26 h 5 min ago, by s3, in us-east-1
              AKIANEW  Active
                created       2023-11-14 22:13:22 UTC, 24 h 5 min ago
                last used     never

            Who created AKIANEW
              when            2023-11-14 22:13:22 UTC
              actor           arn:aws:iam::111122223333:user/bob
              signed with     ASIABOB
              source IP       198.51.100.7
              user agent      aws-cli/2.15.30 md/awscrt#0.19.19
              MFA             no
              console         no
              event           6f0e3c1a-0000-4000-8000-000000000001

            Do this
              Retire AKIANEW: it was never used.
              Deactivate it, in account 111122223333:
                aws iam update-access-key --user-name Alice --access-key-id AKIANEW --status Inactive
              If something fails without it, roll back:
                aws iam update-access-key --user-name Alice --access-key-id AKIANEW --status Active

            Details
              finding         111122223333/alice/1
              audit entry     4
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn closing_with_an_inactive_key_left() {
    check(
        &closed(),
        &last_uses(),
        expect![[r#"
            Subject: [CLOSED] Second active access key: Alice (111122223333)

            [CLOSED] Second active access key: Alice (111122223333)

            A key was deactivated; fewer than two are active.
            Closed 2023-11-15 01:33:22 UTC: key deactivated.
            By arn:aws:iam::111122223333:user/Alice from 203.0.113.9.
            Two keys were active for 3 h 20 min, since 2023-11-14 22:13:22 UTC.

            Keys
              AKIAOLD  Inactive
                created       2022-10-10 22:13:20 UTC, 400 days ago
                last used     2023-11-14 20:13:20 UTC, 5 h 20 min ago, by s3, in us-east-1
              AKIANEW  Active
                created       2023-11-14 22:13:22 UTC, 3 h 20 min ago
                last used     never

            Left to do
              AKIAOLD is inactive and can be reactivated.
              If something fails without it, roll back:
                aws iam update-access-key --user-name Alice --access-key-id AKIAOLD --status Active
              Once nothing has failed for some days, delete it:
                aws iam delete-access-key --user-name Alice --access-key-id AKIAOLD

            Details
              finding         111122223333/alice/1
              closed by event 6f0e3c1a-0000-4000-8000-000000000002
              audit entry     5
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn closing_with_nothing_left_to_do() {
    let mut alert = closed();
    alert.finding.keys.remove(0);
    let closing = alert.finding.closing.as_mut().unwrap();
    closing.reason = CloseReason::NeverConfirmed;
    closing.actor = None;
    closing.event_id = None;
    check(
        &alert,
        &LastUses::new(),
        expect![[r#"
            Subject: [CLOSED] Second active access key: Alice (111122223333)

            [CLOSED] Second active access key: Alice (111122223333)

            No listing ever showed two active keys.
            Closed 2023-11-15 01:33:22 UTC: never confirmed.
            It was open for 3 h 20 min, since 2023-11-14 22:13:22 UTC.

            Keys
              AKIANEW  Active
                created       2023-11-14 22:13:22 UTC, 3 h 20 min ago
                last used     not known

            Nothing is left to do.

            Details
              finding         111122223333/alice/1
              audit entry     5
              audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
              check it later  secondkey verify 111122223333/Alice --head 5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
        "#]],
    );
}

#[test]
fn hostile_text_on_a_terminal() {
    let text = "x\x1b[2J\nKeys: none";
    let alert = filled_with(text, opened());
    let shown = alert_text(&alert, &last_uses_with(text), OutputContext::Terminal);
    expect![[r#"
        [MEDIUM] Second active access key: x\u{1b}[2J\u{a}Keys: none (x\u{1b}[2J\u{a}Keys: none)

        Not confirmed: the user's keys could not be listed; this was opened from the event alone.
        Reason: x\u{1b}[2J\u{a}Keys: none
        The finding cannot close until the keys can be listed.
        Two active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.
        The rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC; after that, the severity is HIGH.

        Keys
          x\u{1b}[2J\u{a}Keys: none  Active
            created       2023-11-14 22:13:21 UTC, 13 s ago
            last used     2023-11-14 22:13:21 UTC, 13 s ago, by x\u{1b}[2J\u{a}Keys: none, in x\u{1b}[2J\u{a}Keys: none
          x\u{1b}[2J\u{a}Keys: none  Active
            created       2023-11-14 22:13:21 UTC, 13 s ago
            last used     2023-11-14 22:13:21 UTC, 13 s ago, by x\u{1b}[2J\u{a}Keys: none, in x\u{1b}[2J\u{a}Keys: none
          x\u{1b}[2J\u{a}Keys: none  Inactive
            created       2023-11-14 22:13:21 UTC, 13 s ago
            last used     2023-11-14 22:13:21 UTC, 13 s ago, by x\u{1b}[2J\u{a}Keys: none, in x\u{1b}[2J\u{a}Keys: none

        Who reactivated x\u{1b}[2J\u{a}Keys: none
          when            2023-11-14 22:13:21 UTC
          inactive since  2023-11-14 22:13:20 UTC, for 1 s
          actor           x\u{1b}[2J\u{a}Keys: none (not the user; has no record of key rotations in this account)
          through         x\u{1b}[2J\u{a}Keys: none
          signed with     x\u{1b}[2J\u{a}Keys: none
          source IP       x\u{1b}[2J\u{a}Keys: none
          user agent      x\u{1b}[2J\u{a}Keys: none
          MFA             not known
          console         yes
          event           x\u{1b}[2J\u{a}Keys: none
        Other keys made active
          x\u{1b}[2J\u{a}Keys: none was reactivated by x\u{1b}[2J\u{a}Keys: none at 2023-11-14 22:13:21 UTC, from x\u{1b}[2J\u{a}Keys: none.

        Do this
          Deactivate x\u{1b}[2J\u{a}Keys: none now: an unfamiliar actor, who is not the user, reactivated it.
          Deactivate it, in account x\u{1b}[2J\u{a}Keys: none:
            (no command: the user name or the key ID has characters that are not safe to paste)
          If something fails without it, roll back:
            (no command: the user name or the key ID has characters that are not safe to paste)
          If the change was planned, roll back, and add the actor to TrustedActors or write an exemption.

        Details
          finding         x\u{1b}[2J\u{a}Keys: none/x\u{1b}[2j\u{a}keys: none/1
          continues       x\u{1b}[2J\u{a}Keys: none/x\u{1b}[2j\u{a}keys: none/1, the user's former name
          audit entry     2
          audit hash      5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a5e7a
          check it later  (no command: the name has characters that are not safe to paste)
    "#]].assert_eq(&shown.whole());
}

#[test]
fn commands_are_shown_unchanged() {
    for text in HOSTILE.iter() {
        let alert = filled_with(text, opened());
        let shown = alert_text(&alert, &last_uses_with(text), OutputContext::PlainText);
        for line in shown
            .body()
            .lines()
            .filter(|line| line.contains("aws iam "))
        {
            let made = [Purpose::Deactivate, Purpose::RollBack]
                .map(|purpose| command(&alert.finding, text, purpose, &NOWHERE))
                .into_iter()
                .flatten()
                .any(|command| command.line == line.trim_start());
            assert!(made, "{line}");
        }
    }
}

#[test]
fn email_has_links_only_in_commands() {
    for text in HOSTILE.iter() {
        for alert in [opened(), updated(), closed()] {
            let alert = filled_with(text, alert);
            let shown = alert_text(&alert, &last_uses_with(text), OutputContext::PlainText).whole();
            let is_command =
                |line: &&str| line.contains("aws iam ") || line.contains("secondkey verify ");
            for line in shown.lines().filter(|line| !is_command(line)) {
                assert_eq!(first_link(line), None, "{line}");
            }
            assert_eq!(first_link(&subject(&alert)), None);
        }
    }
}

#[test]
fn names_and_arns_are_unchanged_and_user_agents_have_no_host() {
    let mut alert = updated();
    alert.finding.display_name = "first.last".to_owned();
    alert.finding.id.user = UserId::new("111122223333", "first.last");
    let actor = &mut alert.finding.opener.as_mut().unwrap().actor;
    actor.arn = Some("arn:aws:sts::111122223333:assumed-role/Admin/bob@example.com".to_owned());
    actor.source_ip = Some("cloudformation.amazonaws.com".to_owned());
    actor.user_agent =
        Some("curl/8.0 (www.evil.example; evil.example/x; a@evil.example)".to_owned());
    let shown = alert_text(&alert, &last_uses(), OutputContext::PlainText).whole();
    for line in [
        "[HIGH] Still two active access keys: first.last (111122223333)",
        "  actor           arn:aws:sts::111122223333:assumed-role/Admin/bob@example.com",
        "  source IP       cloudformation.amazonaws.com",
        "  user agent      curl/8.0 (www[.]evil[.]example; evil[.]example/x; a@evil[.]example)",
        "  finding         111122223333/first.last/1",
        "    aws iam update-access-key --user-name first.last --access-key-id AKIANEW --status Inactive",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let actor = &mut alert.finding.opener.as_mut().unwrap().actor;
    actor.user_agent = Some("signin.amazonaws.com".to_owned());
    let shown = alert_text(&alert, &last_uses(), OutputContext::PlainText).whole();
    let line = "  user agent      signin.amazonaws.com";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
}

#[test]
fn name_that_looks_like_a_link_gets_commands() {
    let mut alert = updated();
    alert.finding.display_name = "www.example.com".to_owned();
    let shown = alert_text(&alert, &last_uses(), OutputContext::PlainText).whole();
    assert!(shown.contains("keys: www[.]example.com ("), "{shown}");
    let command = "aws iam update-access-key --user-name www.example.com --access-key-id AKIANEW";
    assert!(shown.contains(command), "{shown}");
}

#[test]
fn long_name_leaves_the_account_in_the_subject() {
    let mut alert = updated();
    alert.finding.display_name = "n".repeat(64);
    alert.finding.severity = Severity::Critical;
    let subject = subject(&alert);
    assert!(subject.ends_with("? (111122223333)"), "{subject}");
    assert!(subject.len() < 100);
}

#[test]
fn alert_names_known_actors_of_other_keys() {
    let mut alert = opened();
    alert.finding.other_activations = vec![KeyActivation {
        created: false,
        ..opener("AKIATHIRD")
    }];
    let text = alert_text(&alert, &LastUses::new(), OutputContext::PlainText).whole();
    assert!(
        text.contains("  AKIATHIRD was activated by arn:aws:iam::111122223333:user/bob at "),
        "{text}"
    );
    assert!(!text.contains("reactivated"), "{text}");
}

#[test]
fn commands_repeat_the_options_and_need_a_store_to_read_it() {
    let shown = |invocation: &Invocation| {
        let text = super::alert_text(
            &updated(),
            &last_uses(),
            OutputContext::PlainText,
            invocation,
        )
        .whole();
        let is_command = |line: &&str| line.contains("aws iam ") || line.contains("secondkey ");
        text.lines()
            .filter(is_command)
            .map(|line| line.trim().to_owned())
            .collect::<Vec<String>>()
    };
    let of_table = Invocation {
        store: StoreLocation::Table("other table".to_owned()),
        account: None,
        profile: Some("security".to_owned()),
        region: Some("eu-west-1".to_owned()),
        ..Invocation::default()
    };
    let lines = shown(&of_table);
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        assert!(
            line.contains(" --profile security --region eu-west-1"),
            "{line}"
        );
    }
    assert!(lines[2].contains(" --table 'other table' "), "{lines:?}");
    let of_file = Invocation {
        store: StoreLocation::File(Some("other.db".to_owned())),
        ..of_table.clone()
    };
    // `verify` takes `--profile` with a table only.
    assert!(shown(&of_file)[2].ends_with(" --db other.db"));
    let elsewhere = Invocation {
        account: Some("444455556666".to_owned()),
        ..of_table
    };
    assert!(
        !shown(&elsewhere)[0].contains("--profile"),
        "it is of another account"
    );
    assert_eq!(shown(&NOWHERE).len(), 2);
}

#[test]
fn every_output_counts_three_active_keys_and_names_third_actor() {
    let third = |mut alert: Alert| {
        let mut key = alert.finding.keys.last().unwrap().clone();
        key.id = "AKIATHIRD".to_owned();
        alert.finding.keys.push(key);
        alert.finding.other_activations = vec![opener("AKIATHIRD")];
        alert
    };
    for (alert, topic) in [
        (third(opened()), "Three active access keys: Alice"),
        (third(updated()), "Still three active access keys: Alice"),
    ] {
        let text = alert_text(&alert, &last_uses(), OutputContext::PlainText).whole();
        let chat = chat_notification(&alert, &last_uses()).text();
        for output in [&text, &subject(&alert), &chat] {
            assert!(output.replace('`', "").contains(topic), "{output}");
        }
        let json = serde_json::to_value(json_v1::alert(&alert, &last_uses())).unwrap();
        let hub = asff::SecurityHubTarget {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let asff = serde_json::to_string(&asff::finding(&json, &hub).unwrap()).unwrap();
        for output in [text, chat, asff] {
            let plain = output.replace('`', "");
            assert!(plain.contains("AKIATHIRD was created by arn:"), "{output}");
            assert!(plain.contains("three"), "{output}");
        }
    }
}

#[test]
fn replay_texts_never_mention_listings() {
    let from_logs = Invocation {
        keys_from: KeysFrom::Logs,
        ..Invocation::default()
    };
    let unconfirmed = |mut alert: Alert| {
        alert.finding.confirmed = false;
        alert
    };
    for alert in [opened(), updated(), root()] {
        for (alert, snapshot) in [
            (
                alert.clone(),
                "\nConfirmed: the logs show both keys active.\n",
            ),
            (unconfirmed(alert), "\nNot confirmed: "),
        ] {
            let text =
                super::alert_text(&alert, &last_uses(), OutputContext::PlainText, &from_logs);
            let text = text.whole();
            assert!(text.contains(snapshot), "{text}");
            let head = text.split("\nDo this\n").next().unwrap();
            assert!(
                !head.contains("listing") && !head.contains("listed"),
                "{text}"
            );
        }
    }
}
