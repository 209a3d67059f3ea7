//! The report for an auditor: one HTML page that needs nothing else, made of what a store holds.
//!
//! Every text comes onto the page through one formatter, which escapes it ([`crate::output::escape::for_html`]), or in one
//! JSON document, which is escaped as a whole ([`crate::output::escape::for_script`]). The page forbids itself every request
//! and every script but its own.

mod counts;
mod details;
mod exemptions;
pub mod integrity;
mod page;
pub mod period;
mod picture;
mod rows;
pub mod stats;
mod timeline;
pub mod trail;

use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context};
use sha2::{Digest, Sha256};

use crate::detect::exemption::Exemption;
use crate::detect::finding::Finding;
use crate::detect::user::UserId;
use crate::output::escape::{for_html, for_script};
use crate::output::report::page::Page;
use crate::output::report::period::Period;
use crate::output::report::trail::Trail;

const TEMPLATE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/style.css");
const SCRIPT: &str = include_str!("report/script.js");

/// What a store holds, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The store in words.
    pub store: String,
    /// The command that made the report.
    pub command: String,
    /// The period that it is about.
    pub period: Period,
    /// How long two active keys are a rotation.
    pub window: TimeDelta,
    /// The accounts of which the store holds something.
    pub accounts: BTreeSet<String>,
    /// Every finding, whatever the period.
    pub findings: Vec<Finding>,
    /// Every user's trail.
    pub trails: BTreeMap<UserId, Trail>,
    /// Every exemption that is kept.
    pub exemptions: Vec<Exemption>,
    /// What else could not be read, and why.
    pub unread: Vec<String>,
}

impl Report {
    /// The findings of the period: open ones first, then exempt ones, then closed ones, and of each the longest first.
    #[must_use]
    pub fn findings_of_period(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|finding| self.period.has(finding))
            .collect();
        findings.sort_by_key(|finding| {
            let lasted = self.period.end_of(finding) - finding.opened_at;
            (finding.status, std::cmp::Reverse(lasted), &finding.id)
        });
        findings
    }
}

/// The page.
pub fn html(report: &Report) -> Result<String, Error> {
    let findings = report.findings_of_period();
    let details = details::document(report, &findings);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_formatter(escaped);
    environment.add_template("page.html", TEMPLATE)?;
    environment.get_template("page.html")?.render(context! {
        page => Serde(Page::new(report, &findings)),
        policy => policy(),
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        details => Value::from_safe_string(for_script(&details)),
    })
}

/// Writes `value` into the page: what is not our own is text, and nothing else.
fn escaped(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    let written = if value.is_safe() {
        out.write_str(&text)
    } else {
        out.write_str(&for_html(&text))
    };
    written.map_err(|error| {
        Error::new(ErrorKind::WriteFailure, "the page cannot be made").with_source(error)
    })
}

/// The content security policy of the page: no request at all, and no style and no script but its own, by their hashes.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[cfg(test)]
mod tests;
