//! The functions' bootstraps, built by `sam build` as for a deployment, but not optimized: that would
//! take several times as long, and no test depends on their speed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory that cargo builds into.
pub fn target_folder() -> PathBuf {
    // The test's own binary is in `<target>/<profile>/deps`.
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors()
        .nth(3)
        .expect("a test lies three folders deep")
        .to_owned()
}

/// The bootstrap of the function whose binary is `name`. All functions are built once per test
/// process; cargo holds no lock while tests run.
pub async fn function(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = tokio::task::spawn_blocking(|| BUILT.get_or_init(build))
        .await
        .expect("the functions could not be built");
    let bootstrap = folder.join(name);
    assert!(
        bootstrap.exists(),
        "infra/template.yaml has no function `{name}`"
    );
    bootstrap
}

/// Builds all functions. Returns a directory that contains each under its binary's name.
fn build() -> PathBuf {
    let stack = super::fetch::stack_folder();
    let folder = stack.join("bootstraps");
    fs::create_dir_all(&folder).expect("the target directory can be written to");
    let lock = File::create(stack.join("bootstraps.lock"))
        .expect("the target directory can be written to");
    // Another test process may be building the same functions.
    lock.lock().expect("a lock file can be locked");
    let built = sam_build();
    for entry in fs::read_dir(built).expect("`sam build` leaves a folder") {
        let entry = entry.expect("the folder can be read");
        let bootstrap = entry.path().join("bootstrap");
        if bootstrap.exists() {
            // The template names a function like its binary, except for capitals.
            let name = entry.file_name().to_string_lossy().to_lowercase();
            keep(&bootstrap, &folder.join(name));
        }
    }
    folder
}

/// Builds all functions with `sam build`. Returns its directory.
fn sam_build() -> PathBuf {
    let output = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/bootstraps"))
        .arg("unoptimized")
        .env("CARGO_TARGET_DIR", target_folder())
        .output()
        .expect("the tests need bash");
    assert!(
        output.status.success(),
        "the functions could not be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Copies `bootstrap` to `kept` atomically. `sam build` begins by emptying its directory, and
/// another test process may be about to start a function.
fn keep(bootstrap: &Path, kept: &Path) {
    let fresh = kept.with_extension("new");
    fs::copy(bootstrap, &fresh).expect("the target directory can be written to");
    fs::rename(&fresh, kept).expect("the target directory can be written to");
}
