//! Queries for people and reports: findings, histories, exemptions and known users.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::params;

use crate::detect::decision::exemption::Exemption;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::records::coverage::AccountCoverage;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::usage::last_use::KnownUses;
use crate::detect::user::UserId;
use crate::local::coverage::coverage;
use crate::local::known_uses::known_uses;
use crate::local::sqlite::{SqliteStore, schema_and_body};
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::stored::{AuditV1, ExemptionV1, FindingV1, SCHEMA, Word};

/// The findings that are shown: open ones first, then by opening time, latest first.
const SHOWN: &str = "SELECT schema, body FROM findings WHERE status IN ('open', 'closed')
    ORDER BY status = 'closed', opened_at DESC, account, user, episode";

impl SqliteStore {
    /// Passes the open and closed findings to `show` one by one, because they may not all fit into
    /// memory. Open findings come first, then the latest opening. Each comes with the known uses of
    /// its keys.
    pub fn for_each_shown<E: From<ServiceError>>(
        &self,
        mut show: impl FnMut(Finding, KnownUses) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut shown = Ok(());
        self.read(|connection| {
            let mut statement = connection.prepare(SHOWN)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (schema, body) = schema_and_body(row)?;
                let finding = self.parse::<FindingV1>("a finding", schema, &body);
                let finding = finding.map(Finding::from);
                let known = match &finding {
                    Ok(finding) => {
                        known_uses(connection, finding.user().account(), &finding.key_ids())?
                    }
                    Err(_) => KnownUses::default(),
                };
                shown = finding
                    .map_err(E::from)
                    .and_then(|finding| show(finding, known));
                if shown.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        shown
    }

    /// The users with an open or closed finding, the number of open findings, and the number of
    /// closed findings.
    pub fn summary(&self) -> Result<(BTreeSet<UserId>, u32, u32), ServiceError> {
        self.read(|connection| {
            let users = connection
                .prepare(
                    "SELECT DISTINCT account, user FROM findings WHERE status IN ('open', 'closed')",
                )?
                .query_map([], |row| {
                    let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
                    Ok(UserId::new(&account, &name))
                })?
                .collect::<rusqlite::Result<_>>()?;
            let count = |status: FindingStatus| {
                connection.query_row(
                    "SELECT count(*) FROM findings WHERE status = ?1",
                    [status.to_word()],
                    |row| row.get(0),
                )
            };
            Ok((
                users,
                count(FindingStatus::Open)?,
                count(FindingStatus::Closed)?,
            ))
        })
    }
}

#[async_trait]
impl FindingReader for SqliteStore {
    async fn findings(&self, status: FindingStatus) -> Result<Vec<Finding>, ServiceError> {
        let findings: Vec<FindingV1> = self.read_all(
            "a finding",
            "SELECT schema, body FROM findings WHERE status = ?1 ORDER BY opened_at, account, user, episode",
            params![status.to_word()],
        )?;
        Ok(findings.into_iter().map(Into::into).collect())
    }

    async fn history(&self, user: &UserId) -> Result<Vec<AuditEntry>, ServiceError> {
        let entries: Vec<AuditV1> = self.read_all(
            &format!("an audit entry of `{user}`"),
            "SELECT schema, body FROM audit WHERE account = ?1 AND user = ?2 ORDER BY sequence",
            params![user.account(), user.name()],
        )?;
        Ok(entries.into_iter().map(Into::into).collect())
    }

    async fn known_uses(&self, account: &str, keys: &[String]) -> Result<KnownUses, ServiceError> {
        self.read(|connection| known_uses(connection, account, keys))
    }

    async fn replaced(&self, user: &UserId) -> Result<Vec<Vec<AuditEntry>>, ServiceError> {
        let generations: Vec<i64> = self.read(|connection| {
            connection
                .prepare(
                    "SELECT DISTINCT generation FROM audit_replaced
                     WHERE account = ?1 AND user = ?2 ORDER BY generation DESC",
                )?
                .query_map(params![user.account(), user.name()], |row| row.get(0))?
                .collect()
        })?;
        let mut trail = self.history(user).await?;
        let mut trails = vec![];
        for generation in generations {
            let entries: Vec<AuditV1> = self.read_all(
                &format!("a replaced audit entry of `{user}`"),
                "SELECT schema, body FROM audit_replaced
                 WHERE account = ?1 AND user = ?2 AND generation = ?3 ORDER BY sequence",
                params![user.account(), user.name(), generation],
            )?;
            let entries: Vec<AuditEntry> = entries.into_iter().map(Into::into).collect();
            // Before the first stored entry, the trail was the same as afterwards.
            if let Some(first) = entries.first() {
                trail.retain(|entry| entry.sequence < first.sequence);
            }
            trail.extend(entries);
            trails.push(trail.clone());
        }
        Ok(trails)
    }

    async fn put_exemption(&self, exemption: &Exemption) -> Result<(), ServiceError> {
        let body = serde_json::to_string(&ExemptionV1::from(exemption)).map_err(|error| {
            ServiceError::permanent(format!("an exemption cannot be written: {error}"))
        })?;
        self.write(|connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO exemptions VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![exemption.account, exemption.id, SCHEMA, body])
                .map(drop)
        })
    }

    async fn remove_exemption(&self, account: &str, id: &str) -> Result<bool, ServiceError> {
        self.write(|connection| {
            connection
                .prepare_cached("DELETE FROM exemptions WHERE account = ?1 AND id = ?2")?
                .execute(params![account, id])
                .map(|removed| removed > 0)
        })
    }

    async fn account_ids(&self) -> Result<BTreeSet<String>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare("SELECT account FROM findings UNION SELECT account FROM exemptions")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }

    async fn coverage(&self) -> Result<Vec<AccountCoverage>, ServiceError> {
        self.read(coverage)
    }

    async fn users(&self) -> Result<Vec<UserId>, ServiceError> {
        self.read(|connection| {
            connection
                .prepare(
                    "SELECT account, user FROM records UNION SELECT account, user FROM audit ORDER BY 1, 2",
                )?
                .query_map([], |row| {
                    let (account, name): (String, String) = (row.get(0)?, row.get(1)?);
                    Ok(UserId::new(&account, &name))
                })?
                .collect()
        })
    }
}
