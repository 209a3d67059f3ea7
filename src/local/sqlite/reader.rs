//! What people and reports ask of the store: findings, histories, exemptions, whom it knows.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::params;

use crate::detect::audit::AuditEntry;
use crate::detect::exemption::Exemption;
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::user::UserId;
use crate::local::sqlite::SqliteStore;
use crate::pipeline::error::ServiceError;
use crate::pipeline::finding_store::FindingReader;
use crate::stored::{AuditV1, ExemptionV1, FindingV1, SCHEMA, Word};

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
