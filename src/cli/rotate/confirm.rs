//! Confirmation of a dangerous step by typing the key's id.

use std::io::Write;

use anyhow::Context;

use crate::cli::MAX_CHARS;
use crate::cli::streams::stderr;
use crate::output::escape::for_terminal;

/// Prints `what` is about to happen, and reads the id `key` from stdin. There is no option to skip it.
pub(super) fn typed(what: &str, key: &str) -> anyhow::Result<()> {
    let shown = for_terminal(key, MAX_CHARS);
    write!(
        stderr(),
        "{what}\nType the id of the key, {shown}, to continue: "
    )?;
    let mut typed = String::new();
    std::io::stdin()
        .read_line(&mut typed)
        .context("no answer could be read")?;
    anyhow::ensure!(
        typed.trim() == key,
        "not confirmed, so nothing was done; type the full id of the key, `{shown}`"
    );
    Ok(())
}
