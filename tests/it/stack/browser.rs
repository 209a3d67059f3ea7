//! A headless Chromium and its driver, fetched from npm and stored under the target directory.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fetch::{kept, run, unpack_npm};

/// Chromium and the libraries that a minimal machine lacks, from this npm package, for Linux on
/// x86-64.
const CHROMIUM: (&str, &str) = ("@sparticuz/chromium", "153.0.0");
/// The driver.
const PLAYWRIGHT: (&str, &str) = ("playwright-core", "1.65.1");
/// The accessibility checker.
const AXE: (&str, &str) = ("axe-core", "4.14.1");

/// A Node.js command that runs `script`. It finds the browser through its environment, and the
/// packages in `MODULES`.
pub fn node(script: &str) -> Command {
    let modules = modules();
    let mut node = Command::new("node");
    node.arg(format!("{}/{script}", env!("CARGO_MANIFEST_DIR")))
        .env("MODULES", modules);
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let folder = chromium();
        node.env("CHROMIUM", folder.join("chromium"))
            .env("LD_LIBRARY_PATH", folder.join("lib"))
            .env("FONTCONFIG_FILE", folder.join("fonts.conf"));
    } else {
        node.env("CHROMIUM", on_path());
    }
    node
}

fn chromium() -> PathBuf {
    let (name, version) = CHROMIUM;
    kept(&format!("chromium-{version}"), |into| {
        unpack_npm(into, name, version);
        let unpack = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/report/unpack.mjs");
        let arguments = [OsStr::new(unpack), into.as_os_str()];
        run(into, "node", arguments, "Node.js");
        run(into, "tar", ["-xf", "libraries.tar"], "tar");
        run(into, "tar", ["-xf", "fonts.tar"], "tar");
        fs::write(into.join("fonts.conf"), fonts(into)).expect("the directory was just created");
    })
}

/// A font configuration with only the package's fonts, so that every machine renders a page alike.
fn fonts(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n\
         <fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>\n"
    )
}

fn modules() -> PathBuf {
    let (playwright, axe) = (PLAYWRIGHT, AXE);
    kept(
        &format!("playwright-{}-axe-{}", playwright.1, axe.1),
        |into| {
            for (name, version) in [playwright, axe] {
                unpack_npm(into, name, version);
                fs::rename(into.join("package"), into.join(name))
                    .expect("the package was unpacked");
            }
        },
    )
}

/// The installed Chromium of a machine for which npm has none.
fn on_path() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
        .expect("on this machine the tests need `chromium` on PATH; install it")
}
