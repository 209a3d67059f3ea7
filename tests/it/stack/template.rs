//! The template as CloudFormation receives it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::{build, fetch};

/// `infra/template.yaml` as expanded by SAM.
pub async fn expanded() -> &'static Value {
    static EXPANDED: OnceLock<Value> = OnceLock::new();
    // The tools that build the functions exist once those are built.
    build::function("detector").await;
    tokio::task::spawn_blocking(|| EXPANDED.get_or_init(expand))
        .await
        .expect("the template could not be expanded")
}

fn expand() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(fetch::sam_python())
        .arg(folder.join("tests/it/stack/expand.py"))
        .arg(folder.join("infra/template.yaml"))
        .env("AWS_DEFAULT_REGION", super::clients::REGION)
        .output()
        .expect("Python runs");
    assert!(
        output.status.success(),
        "the template could not be expanded:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}
