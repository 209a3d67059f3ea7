//! What cannot be taken back, or could hurt somebody, is confirmed by typing the key's id.

use std::io::Write;

use anyhow::Context;

use crate::cli::LONGEST;
use crate::output::escape::for_terminal;

/// Asks for the id `key` on stdin, after saying `what` is about to happen. There is no option that answers in its place.
pub(super) fn typed(what: &str, key: &str) -> anyhow::Result<()> {
    let shown = for_terminal(key, LONGEST);
    write!(
        anstream::stderr(),
        "{what}\nType the id of the key, {shown}, to go on: "
    )?;
    let mut typed = String::new();
    std::io::stdin()
        .read_line(&mut typed)
        .context("no answer could be read")?;
    anyhow::ensure!(
        typed.trim() == key,
        "not confirmed, so nothing was done; type the whole id of the key, `{shown}`"
    );
    Ok(())
}
