//! Links between pages, and which pages exist.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{files, page, pages, root};

/// `path` without `..`, because the map of pages has only plain paths.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_has_a_target() {
    let pages = pages();
    let (mut links, mut anchors, mut broken) = (0, 0, vec![]);
    for (path, page) in &pages {
        for link in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => plain(&path.parent().unwrap().join(file)),
            };
            let mut is_found = root().join(&target).exists();
            if !anchor.is_empty() {
                anchors += 1;
                let page = pages.get(&target);
                is_found &= page.is_some_and(|page| page.anchors().contains(anchor));
            }
            if !is_found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(
        links > 100 && anchors > 10,
        "{links} links, {anchors} anchors"
    );
}

#[test]
fn every_task_page_begins_with_a_command_and_is_indexed() {
    let index = page("docs/README.md").links();
    let readme = page("README.md").links();
    let mut tasks = 0;
    for path in files("docs", "md") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        tasks += 1;
        assert!(index.iter().any(|link| link == name), "{name}");
        assert!(
            readme.iter().any(|link| *link == format!("docs/{name}")),
            "{name}"
        );
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let first = text.lines().filter(|line| !line.is_empty()).nth(1);
        assert_eq!(first, Some("```sh"), "{name}: what stands below the title");
    }
    assert!(tasks >= 11, "{tasks}");
}

#[test]
fn the_readme_fits_on_few_screens() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = text.lines().count();
    assert!((50..=150).contains(&lines), "{lines} lines");
}
