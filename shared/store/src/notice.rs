//! Notices: each is sent once, by whoever takes that up.

use amend_domain::work::WorkKind;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::{
    StoreError,
    database::{Database, values},
    sql,
};

/// So long it is kept that a notice was to be sent.
const KEPT: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What Amend remembers of notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Has notices sent, by name. One that was to be sent before is not sent again. Returns how many are new.
    async fn announce(&self, names: &[String], now: Timestamp) -> Result<usize, StoreError>;
}

#[async_trait]
impl Notices for Database {
    async fn announce(&self, names: &[String], now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.begin("have notices sent").await?;
        let before = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
        tx.run(sql::FORGET_NOTICES, &values![before]).await?;
        let mut new = 0_usize;
        for name in names {
            if tx.run(sql::ADD_NOTICE, &values![name, now]).await? == 1 {
                let kind = WorkKind::Send;
                let row = values![kind.key(name), kind.as_str(), name, 0_i64, now, 0_i64, 0_i64, 0_i64];
                tx.insert(&sql::ADD_WORK, &row).await?;
                new = new.saturating_add(1);
            }
        }
        tx.commit().await?;
        Ok(new)
    }
}
