//! `secondkey verify` detects every manual change to an audit trail by someone with write access to
//! the store: in both stores, with the real binary.

mod kept;

use std::collections::BTreeMap;
use std::io::Write;

use chrono::DateTime;
use secondkey::detect::trail::audit::{AuditDraft, AuditEntry, AuditKind, ChainHead};
use secondkey::detect::user::UserId;
use serde_json::{Value, json};

use kept::Kept;

/// The length of the trails.
const LENGTH: usize = 5;

/// The first, a middle and the last entry.
const PLACES: [usize; 3] = [0, 2, LENGTH - 1];

fn alice() -> UserId {
    UserId::new("111122223333", "alice")
}

fn bob() -> UserId {
    UserId::new("111122223333", "bob")
}

fn draft(number: usize, actor: &str) -> AuditDraft {
    let at = DateTime::from_timestamp(1_700_000_000 + i64::try_from(number).unwrap(), 0).unwrap();
    AuditDraft {
        at,
        recorded_at: at,
        kind: AuditKind::KeyCreated,
        finding_id: None,
        event_id: Some(format!("event-{number}")),
        actor: Some(actor.to_owned()),
        details: BTreeMap::from([("key".to_owned(), format!("AKIA{number}"))]),
    }
}

/// The trail of `user` as it was written, and its head.
fn trail(user: &UserId, actor: &str) -> (Vec<AuditEntry>, ChainHead) {
    let mut head = ChainHead::default();
    let entries = (0..LENGTH)
        .map(|number| head.append(user, draft(number, actor)))
        .collect();
    (entries, head)
}

/// The entries from `place` on, rewritten with hashes that match.
fn rewritten(stored: &[Value], place: usize, until: usize) -> Vec<Value> {
    let mut head = ChainHead {
        sequence: place as u64,
        hash: stored[place]["previous_hash"].as_str().unwrap().to_owned(),
    };
    let mut all = stored.to_vec();
    for (number, entry) in all.iter_mut().enumerate().take(until).skip(place) {
        let forged = head.append(&alice(), draft(number, "nobody"));
        entry["actor"] = json!("nobody");
        entry["hash"] = json!(forged.hash);
        entry["previous_hash"] = json!(forged.previous_hash);
    }
    all
}

/// The trail in order, with each entry's number set to its place.
fn numbered(mut stored: Vec<Value>) -> Vec<(u64, Value)> {
    for (entry, place) in stored.iter_mut().zip(1_u64..) {
        entry["sequence"] = json!(place);
    }
    in_place(stored)
}

fn in_place(stored: Vec<Value>) -> Vec<(u64, Value)> {
    (1..).zip(stored).collect()
}

/// One way to change a trail: its name, what is stored afterwards, and what `verify` reports.
type Edit = (String, Vec<(u64, Value)>, String);

/// Every edit of `alice`'s trail, at every place.
fn edits(stored: &[Value], of_bob: &[Value]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = vec![];
    for place in PLACES {
        let number = place + 1;
        let is_last = number == LENGTH;
        let mut add = |name: &str, stored: Vec<(u64, Value)>, said: String| {
            edits.push((format!("{name} at entry {number}"), stored, said));
        };
        let changed = format!("entry {number} was changed");
        for (field, value) in [
            ("actor", json!("nobody")),
            ("at", json!("2020-01-01T00:00:00.000Z")),
            ("recorded_at", json!("2020-01-01T00:00:00.000Z")),
            ("kind", json!("key_deleted")),
            ("finding_id", json!("111122223333/alice/9")),
            ("event_id", json!("event-99")),
            ("details", json!({"key": "AKIA99"})),
            (
                "details",
                json!({"key": format!("AKIA{place}"), "more": ""}),
            ),
            ("hash", json!("0".repeat(64))),
        ] {
            let mut edited = stored.to_vec();
            edited[place][field] = value;
            add(
                &format!("{field} edited"),
                in_place(edited),
                changed.clone(),
            );
        }
        let mut without = stored.to_vec();
        without[place].as_object_mut().unwrap().remove("event_id");
        add("a field removed", in_place(without), changed);

        let mut unjoined = stored.to_vec();
        unjoined[place]["previous_hash"] = json!("0".repeat(64));
        let said = format!("entry {number} does not follow the one before it");
        add("previous_hash edited", in_place(unjoined), said);

        let mut foreign = stored.to_vec();
        foreign[place]["sequence"] = json!(99);
        let said = format!("entry {number} is missing");
        add("sequence edited", in_place(foreign), said.clone());

        let mut gap = in_place(stored.to_vec());
        gap.remove(place);
        let cut = format!("the trail ends at entry {place}, but");
        add("deleted", gap, if is_last { cut.clone() } else { said });

        let mut closed_up = stored.to_vec();
        closed_up.remove(place);
        let said = if is_last {
            cut.clone()
        } else {
            format!("entry {number} does not follow")
        };
        add("deleted, the rest moved up", numbered(closed_up), said);

        let other = if is_last { place - 1 } else { place + 1 };
        let first = place.min(other) + 1;
        let mut swapped = stored.to_vec();
        swapped.swap(place, other);
        let said = format!("entry {first} is missing");
        add("swapped", in_place(swapped.clone()), said);
        let said = format!("entry {first} does not follow");
        add("swapped and renumbered", numbered(swapped), said);

        let mut longer = stored.to_vec();
        longer.insert(place, stored[place].clone());
        let said = format!("entry {} does not follow", number + 1);
        add("repeated", numbered(longer), said);
        let mut longer = stored.to_vec();
        let forged = rewritten(stored, place, number)[place].clone();
        longer.insert(place, forged);
        let said = format!("entry {} does not follow", number + 1);
        add("one put in, with its hash", numbered(longer), said);

        add("cut off", in_place(stored[..place].to_vec()), cut);

        let said = if is_last {
            format!("the last entry, {number}, does not match")
        } else {
            format!("entry {} does not follow", number + 1)
        };
        add(
            "replaced, with its hash",
            in_place(rewritten(stored, place, number)),
            said,
        );
        let said = format!("the last entry, {LENGTH}, does not match");
        let rewritten_entries = rewritten(stored, place, LENGTH);
        add("rewritten to the end", in_place(rewritten_entries), said);

        let mut foreign = stored.to_vec();
        foreign[place] = of_bob[place].clone();
        add(
            "another user's put in its place",
            in_place(foreign),
            Kept::FOREIGN.replace("{}", &number.to_string()),
        );
    }
    edits
}

/// Whether `verify` reports what it should about `alice`'s trail, and that `bob`'s is intact.
fn is_named(kept: &Kept, name: &str, expected: &str) -> bool {
    let (exit, stdout, stderr) = kept.verify(&[]);
    let broken = format!("BROKEN  111122223333/alice: {expected}");
    let is_foreign = expected.contains("another user's trail");
    // In the table an item's key contains the user's name too, so an item under the wrong key is
    // named by its key.
    let item = "secondkey: item `AUDIT#111122223333#alice`, ";
    let is_item_named = is_foreign && stderr.starts_with(item);
    let is_line = stdout.lines().any(|line| line.starts_with(&broken));
    let is_bob_whole = stdout.contains("intact  111122223333/bob: 5 entries");
    let is_named = exit == 1 && (is_item_named || (is_line && is_bob_whole));
    assert!(is_named, "{name}: {exit} {stdout}{stderr}");
    is_named
}

#[tokio::test]
async fn every_manual_change_of_a_trail_is_detected() {
    let (mut made, mut named) = (0, 0);
    for kept in [Kept::sqlite().await, Kept::dynamodb().await] {
        for user in [alice(), bob()] {
            kept.commit(&user, trail(&user, "carol")).await;
        }
        let stored = kept.trail(&alice()).await;
        let of_bob = kept.trail(&bob()).await;
        assert_eq!(stored.len(), LENGTH);
        let record = kept.record(&alice()).await;
        assert_eq!(kept.verify(&[]).0, 0);

        for (name, edited, expected) in edits(&stored, &of_bob) {
            kept.set_trail(&alice(), &edited).await;
            made += 1;
            named += u32::from(is_named(&kept, &name, &expected));
        }
        kept.set_trail(&alice(), &in_place(stored.clone())).await;
        let mut others = record.clone();
        others["audit_hash"] = json!("0".repeat(64));
        let mut shorter = record.clone();
        shorter["audit_sequence"] = json!(4);
        for (name, edited, expected) in [
            (
                "the record removed",
                None,
                "the trail ends at entry 5, but the user's record says that the last entry is 0",
            ),
            (
                "the record's hash edited",
                Some(others),
                "the last entry, 5, does not match",
            ),
            (
                "the record's count edited",
                Some(shorter),
                "the trail ends at entry 5, but the user's record says that the last entry is 4",
            ),
        ] {
            kept.set_record(&alice(), edited).await;
            made += 1;
            named += u32::from(is_named(&kept, name, expected));
        }
        kept.set_record(&alice(), Some(record)).await;
        assert_eq!(kept.verify(&[]).0, 0, "all was put back");
    }
    writeln!(
        std::io::stdout(),
        "tamper: {made} edits in 2 stores, {named} named"
    )
    .unwrap();
}

#[tokio::test]
async fn a_substituted_trail_and_record_are_detected() {
    for kept in [Kept::sqlite().await, Kept::dynamodb().await] {
        for user in [alice(), bob()] {
            kept.commit(&user, trail(&user, "carol")).await;
        }
        let of_bob = kept.trail(&bob()).await;
        kept.set_trail(&alice(), &in_place(of_bob)).await;
        kept.set_record(&alice(), Some(kept.record(&bob()).await))
            .await;
        let expected = Kept::FOREIGN.replace("{}", "1");
        assert!(is_named(&kept, "another's trail and record", &expected));
    }
}

#[tokio::test]
async fn a_hash_from_an_alert_detects_a_rewritten_chain() {
    for kept in [Kept::sqlite().await, Kept::dynamodb().await] {
        for user in [alice(), bob()] {
            kept.commit(&user, trail(&user, "carol")).await;
        }
        let stored = kept.trail(&alice()).await;
        let record = kept.record(&alice()).await;
        let hash = |place: usize| stored[place]["hash"].as_str().unwrap();
        let (first, third, last) = (hash(0), hash(2), hash(4));
        let all = [
            "--head",
            first,
            "--head",
            third,
            "--head",
            &last.to_uppercase(),
        ];
        for user in [&[][..], &["alice"]] {
            let (exit, stdout, _) = kept.verify(&[user, &all].concat());
            assert_eq!(exit, 0, "{stdout}");
            for (place, hash) in [(1, first), (3, third), (5, last)] {
                let line = format!("holds   111122223333/alice: entry {place}, head {hash}");
                assert!(stdout.contains(&line), "{stdout}");
            }
        }
        let (exit, stdout, _) = kept.verify(&["bob", "--head", third]);
        let missing = format!("MISSING head {third}: the trail of 111122223333/bob no longer has");
        assert!(exit == 1 && stdout.contains(&missing), "{stdout}");

        // Rolled back to its second entry, rewritten from the second on, and rewritten entirely.
        let rolled_back = (stored[..2].to_vec(), 2);
        let from_second = (rewritten(&stored, 1, LENGTH), LENGTH);
        let whole = (rewritten(&stored, 0, LENGTH), LENGTH);
        for ((rewritten_entries, length), holds_first) in
            [(rolled_back, true), (from_second, true), (whole, false)]
        {
            let mut fitting = record.clone();
            fitting["audit_sequence"] = json!(length);
            fitting["audit_hash"] = rewritten_entries[length - 1]["hash"].clone();
            kept.set_trail(&alice(), &in_place(rewritten_entries)).await;
            kept.set_record(&alice(), Some(fitting)).await;

            let (exit, stdout, _) = kept.verify(&[]);
            assert_eq!(exit, 0, "the chain alone calls it whole: {stdout}");
            let (exit, stdout, _) = kept.verify(&["--head", third]);
            let missing = format!(
                "MISSING head {third}: no trail has an entry with this hash; the trail was rewritten or cut"
            );
            assert!(exit == 1 && stdout.contains(&missing), "{stdout}");
            let (exit, stdout, _) = kept.verify(&["alice", "--head", first]);
            assert_eq!(exit == 0, holds_first, "{stdout}");
        }

        kept.set_trail(&alice(), &[]).await;
        kept.set_record(&alice(), None).await;
        assert_eq!(
            kept.verify(&[]).0,
            0,
            "nothing says that there was such a user"
        );
        assert_eq!(kept.verify(&["--head", first]).0, 1);
    }
}

#[tokio::test]
async fn an_invalid_hash_is_wrong_usage() {
    let kept = Kept::sqlite().await;
    kept.commit(&alice(), trail(&alice(), "carol")).await;
    let hash = kept.trail(&alice()).await[0]["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    for odd in [
        &hash[..63],
        &hash[..8],
        "",
        "x",
        &format!("{hash}0"),
        &hash.replace(|digit: char| digit.is_ascii_digit(), "g"),
        &"é".repeat(32),
    ] {
        let (exit, stdout, stderr) = kept.verify(&["--head", odd]);
        assert_eq!((exit, stdout.as_str()), (2, ""), "{odd}: {stderr}");
        let said = "an audit hash has 64 hexadecimal digits";
        assert!(
            stderr.contains(&format!("'{odd}'")) || odd.is_empty(),
            "{stderr}"
        );
        assert!(stderr.contains(said) || odd.is_empty(), "{odd}: {stderr}");
    }
}
