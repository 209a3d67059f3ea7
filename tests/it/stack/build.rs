//! The release binary of the detector, built as it is deployed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The folder that cargo builds into.
pub fn target_folder() -> PathBuf {
    // The test's own binary lies in `<target>/<profile>/deps`.
    let own = std::env::current_exe().expect("a test knows its own path");
    own.ancestors()
        .nth(3)
        .expect("a test lies three folders deep")
        .to_owned()
}

/// The detector's release binary; built once per test process. Cargo holds no lock while tests run.
pub async fn detector() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    tokio::task::spawn_blocking(|| BUILT.get_or_init(build).clone())
        .await
        .expect("the detector could not be built")
}

fn build() -> PathBuf {
    let target = target_folder();
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "--no-default-features",
            "--features",
            "lambda",
            "--bin",
            "detector",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, for it runs this test");
    assert!(
        output.status.success(),
        "the detector could not be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    target.join("release/detector")
}
