//! The names that ARCHITECTURE.md mentions.

use std::fs;

use super::{files, page, root};

/// Expands `a/{b,c}.rs` to `a/b.rs` and `a/c.rs`.
fn alternatives(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (within, after) = rest.split_once('}').expect("the brace is closed");
    within
        .split(',')
        .flat_map(|one| alternatives(&format!("{before}{one}{after}")))
        .collect()
}

#[test]
fn every_test_and_file_that_the_architecture_names_exists() {
    let sources: String = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"))
        .map(|path| fs::read_to_string(root().join(path)).unwrap())
        .collect();
    let (mut tests, mut paths, mut missing) = (0, 0, vec![]);
    for code in page("ARCHITECTURE.md").code() {
        let is_name = code
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        let is_path = code.contains('/')
            && !code.contains([' ', '<', '*'])
            && !code.starts_with(['/', '.'])
            && [".rs", "/", ".json", ".html", ".yaml", ".rego"]
                .iter()
                .any(|end| code.ends_with(end));
        if is_name && code.matches('_').count() >= 3 {
            tests += 1;
            if !sources.contains(&format!("fn {code}(")) {
                missing.push(code);
            }
        } else if is_path {
            for path in alternatives(&code) {
                paths += 1;
                let at = ["", "src", "tests"].map(|folder| root().join(folder).join(&path));
                if !at.iter().any(|path| path.exists()) {
                    missing.push(path);
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(tests > 60 && paths > 80, "{tests} tests, {paths} paths");
}
