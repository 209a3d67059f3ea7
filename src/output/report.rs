//! The report for an auditor: one self-contained HTML page about the contents of a store.
//!
//! Every text reaches the page through one formatter, which escapes it
//! ([`crate::output::escape::for_html`]), or in one JSON document, which is escaped as a whole
//! ([`crate::output::escape::for_script`]). The page forbids itself every request, and every script
//! except its own.

pub(crate) mod audit_trail;
mod chart;
mod counts;
pub(crate) mod coverage;
mod details;
mod exemptions;
pub(crate) mod integrity;
mod page;
pub(crate) mod period;
mod rows;
pub(crate) mod stats;
mod timeline;

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, context};
use sha2::{Digest, Sha256};

use crate::detect::decision::exemption::Exemption;
use crate::detect::user::UserId;
use crate::output::escape::{for_html, for_script};
use crate::output::report::audit_trail::Trail;
use crate::output::report::coverage::CheckedAccount;
use crate::output::report::page::Page;
use crate::output::report::period::Period;
use crate::output::snapshot::FindingSnapshot;

const TEMPLATE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/style.css");
const SCRIPT: &str = include_str!("report/script.js");

/// The contents of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// The store, in words.
    pub store: String,
    /// The command that made the report.
    pub command: String,
    /// The period that it is about.
    pub period: Period,
    /// The accounts that the store has data about, and when they were checked.
    pub accounts: BTreeMap<String, CheckedAccount>,
    /// Every finding, in any period, with the verdict on it.
    pub findings: Vec<FindingSnapshot>,
    /// Every user's audit trail.
    pub trails: BTreeMap<UserId, Trail>,
    /// Every stored exemption.
    pub exemptions: Vec<Exemption>,
    /// What else could not be read, and why.
    pub unread: Vec<String>,
    /// Who uses the keys of users with an open finding, in lines, if logs were given.
    pub uses: BTreeMap<UserId, Vec<String>>,
}

impl Report {
    /// The findings of the period: open, then suppressed, then closed; within each, the longest
    /// first.
    #[must_use]
    pub(crate) fn findings_of_period(&self) -> Vec<&FindingSnapshot> {
        let mut findings: Vec<&FindingSnapshot> = self
            .findings
            .iter()
            .filter(|one| self.period.has(&one.alert.finding))
            .collect();
        findings.sort_by_key(|one| {
            let finding = &one.alert.finding;
            let lasted = one.known_until() - finding.opened_at;
            (finding.status, std::cmp::Reverse(lasted), &finding.id)
        });
        findings
    }
}

/// The page.
pub(crate) fn html(report: &Report) -> Result<String, Error> {
    let findings = report.findings_of_period();
    let details = details::document(report, &findings);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_formatter(escaped);
    environment.add_test("account_id", is_account_id);
    environment.add_template("page.html", TEMPLATE)?;
    environment.get_template("page.html")?.render(context! {
        page => Serde(Page::new(report, &findings)),
        policy => policy(),
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
        details => Value::from_safe_string(for_script(&details)),
    })
}

/// Whether `text` is an account's id, which is never broken into two lines. Any other text in its
/// place may be too long for that.
fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Writes `value` to the page. Everything that is not our own is written as text.
fn escaped(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    let written = if value.is_safe() {
        out.write_str(&text)
    } else {
        out.write_str(&for_html(&text))
    };
    written.map_err(|error| {
        Error::new(ErrorKind::WriteFailure, "could not write the page").with_source(error)
    })
}

/// The content security policy of the page: no requests at all, and only its own style and script,
/// by their hashes.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; require-trusted-types-for 'script'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[cfg(test)]
mod tests;
