//! Findings that an exemption suppresses.

use chrono::{TimeDelta, Utc};
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::finding_store::FindingReader;

use super::sweeps::Swept;
use super::world::{ACCOUNT, Setup, kinds};

#[tokio::test]
async fn an_exemption_suppresses_a_finding_until_it_expires() {
    let swept = Swept::new("exempt", Setup::default()).await;
    swept.sweep().await;
    let now = Utc::now();
    let exemption = Exemption {
        id: "migration".to_owned(),
        account: ACCOUNT.to_owned(),
        user_pattern: "user-*".to_owned(),
        actor_pattern: format!("arn:aws:iam::{ACCOUNT}:user/dana"),
        owner: "platform team".to_owned(),
        reason: "migration of the build farm".to_owned(),
        created_at: now,
        until: now + TimeDelta::seconds(25),
    };
    swept.world.store.put_exemption(&exemption).await.unwrap();
    swept.world.create_key().await;
    let second = swept.world.create_key().await;
    swept.world.tell(swept.world.created(&second)).await;
    swept.world.turn().await;
    swept.world.until_quiet().await;
    assert_eq!(
        swept.world.findings(FindingStatus::Suppressed).await.len(),
        1
    );
    assert_eq!(kinds(&swept.world.alerts().await), Vec::<&str>::new());

    let left = (exemption.until - Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(left).await;
    swept.sweep().await;
    let alerts = swept.world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["exemption"]["owner"], "platform team");
    assert_eq!(swept.open().await, [swept.world.user.as_str()]);
    let trail = swept.world.trail(&swept.world.user_id()).await;
    assert!(trail.contains(&AuditKind::FindingSuppressed));
    assert!(trail.contains(&AuditKind::ExemptionEnded));
}
