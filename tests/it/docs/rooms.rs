//! The rooms of the code and the imports between them, as ARCHITECTURE shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::{files, root};

/// What each room may import, by the table in ARCHITECTURE.
fn permitted() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split_once("| folder | may import |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted
            .map(|name| name.trim_end_matches('/').to_owned())
            .collect()
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, room, imports, ..] = cells.as_slice() else {
            panic!("{line}")
        };
        (names(room).remove(0), names(imports).into_iter().collect())
    };
    rows.map(row).collect()
}

/// The code of a file without its tests, which may use any room.
fn code(path: &std::path::Path) -> String {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let name = path.to_str().unwrap();
    if name.contains("tests") || name.contains("testing") || name.contains("hostile") {
        return String::new();
    }
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].to_owned()
}

/// Each import of one room by another: both rooms, and the file.
fn imports() -> BTreeMap<(String, String), String> {
    let mut imports = BTreeMap::new();
    for path in files("src", "rs") {
        let mut parts = path.components().skip(1);
        let room = parts.next().unwrap().as_os_str().to_str().unwrap();
        if parts.next().is_none() {
            continue;
        }
        for after in code(&path).split("crate::").skip(1) {
            let other: String = after
                .chars()
                .take_while(|one| one.is_alphanumeric())
                .collect();
            if other != room && root().join("src").join(&other).is_dir() {
                let arrow = (room.to_owned(), other);
                imports.insert(arrow, path.display().to_string());
            }
        }
    }
    imports
}

#[test]
fn rooms_import_only_what_the_table_permits() {
    let permitted = permitted();
    let imports = imports();
    for ((room, other), file) in &imports {
        let may = permitted
            .get(room)
            .unwrap_or_else(|| panic!("no row for {room}"));
        assert!(may.contains(other), "{file}: {room} may not import {other}");
    }
    // A row that nothing needs is out of date.
    let rows = permitted.iter().filter(|(room, _)| *room != "bin");
    for (room, other) in rows.flat_map(|(room, may)| may.iter().map(move |other| (room, other))) {
        let arrow = (room.clone(), other.clone());
        assert!(
            imports.contains_key(&arrow),
            "{room} does not import {other}"
        );
    }
}

#[test]
fn permitted_imports_run_one_way() {
    let permitted = permitted();
    let mut left: BTreeSet<&String> = permitted.keys().collect();
    while !left.is_empty() {
        let leaf = left
            .iter()
            .find(|room| permitted[**room].iter().all(|it| !left.contains(it)));
        let leaf = *leaf.unwrap_or_else(|| panic!("these import each other: {left:?}"));
        left.remove(leaf);
    }
    assert!(permitted.len() >= 7, "{permitted:?}");
}

/// INVARIANT (pure core): the decision reads no clock, waits for nothing, and calls no service.
#[test]
fn the_core_reads_no_clock_and_waits_for_nothing() {
    let core = files("src/detect", "rs");
    assert!(core.len() > 30);
    for path in core {
        for word in [
            "Utc::now",
            "SystemTime",
            "Instant::now",
            "async fn",
            ".await",
            "std::fs",
        ] {
            assert!(!code(&path).contains(word), "{}: `{word}`", path.display());
        }
    }
}
