//! What the documentation promises: links that work, commands that parse, tests that exist, and
//! tables that match the code and the templates.

mod architecture;
mod commands;
mod links;
mod markdown;
mod rooms;
pub(crate) mod shell;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use self::markdown::Page;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under `folder` whose names end in `.ending`, as paths from the root of the repository.
fn files(folder: &str, ending: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root().join(folder)) {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|it| it == ending) {
            found.insert(entry.path().strip_prefix(root()).unwrap().to_owned());
        }
    }
    found
}

/// Every page that people read, by its path.
fn pages() -> BTreeMap<PathBuf, Page> {
    let mut paths: BTreeSet<PathBuf> = ["docs", "infra", "events"]
        .into_iter()
        .flat_map(|folder| files(folder, "md"))
        .collect();
    for entry in fs::read_dir(root()).unwrap() {
        let name = PathBuf::from(entry.unwrap().file_name());
        if name.extension().is_some_and(|it| it == "md") {
            paths.insert(name);
        }
    }
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/README.md",
        "infra/README.md",
        "infra/guardrails/README.md",
        "events/README.md",
    ] {
        assert!(paths.contains(Path::new(page)), "{page}: {paths:?}");
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, Page::of(&text))
    };
    paths.into_iter().map(read).collect()
}

fn page(path: &str) -> Page {
    Page::of(&fs::read_to_string(root().join(path)).unwrap())
}
