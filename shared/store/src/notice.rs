//! Notices: each is sent once, by whoever takes that up. What people are told as it happens is kept with what
//! happened, in the same transaction, and waits for what else there is to tell them.

use amend_domain::{
    ProblemId,
    notice::{Notice, Whom},
    plan::Remediation,
    work::WorkKind,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::{
    StoreError,
    body::{read, read_one, write},
    database::{Database, Tx, Value, values},
    sql,
};

/// So long it is kept that a notice was to be sent.
const KEPT: SignedDuration = SignedDuration::from_hours(60 * 24);

/// What Amend remembers of notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Has notices sent, by name. One that was to be sent before is not sent again. Returns how many are new.
    async fn announce(&self, names: &[String], now: Timestamp) -> Result<usize, StoreError>;

    /// Keeps what people are to be told, each of it once.
    async fn tell(&self, news: &[(Whom, Notice)]) -> Result<(), StoreError>;

    /// Those for whom something is kept that they were not told.
    async fn untold(&self) -> Result<Vec<Untold>, StoreError>;

    /// Has somebody told then of all that is kept for them.
    async fn gather(&self, untold: &Untold, due: Timestamp) -> Result<(), StoreError>;

    /// What somebody was not told yet, the most urgent first, by name.
    async fn news(&self, whom: &Whom) -> Result<Vec<(String, Notice)>, StoreError>;

    /// Keeps that these were told.
    async fn told(&self, names: &[String], now: Timestamp) -> Result<(), StoreError>;
}

/// Somebody for whom something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Who.
    pub whom: Whom,
    /// Since when.
    pub since: Timestamp,
    /// The most urgent of it.
    pub rank: i64,
    /// Whether any of it is told whatever the hour.
    pub urgent: bool,
    /// How much it is.
    pub count: u64,
}

impl Untold {
    /// What the work of telling them is about.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{NEWS}{}", self.whom)
    }

    /// Who is to be told, where a piece of work is about that.
    #[must_use]
    pub fn whom_of(subject: &str) -> Option<Whom> {
        subject.strip_prefix(NEWS).map(|whom| Whom::from(whom.to_owned()))
    }
}

/// How the subject of such work begins.
const NEWS: &str = "news/";

/// Keeps what people are to be told.
pub(crate) async fn add(tx: &mut Tx, news: &[(Whom, Notice)]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for (whom, notice) in news {
        let body = write("notices", notice)?;
        let urgent = notice.news.is_urgent();
        rows.extend(values![notice.name_for(whom), notice.at, whom.to_string(), notice.rank, urgent, body]);
    }
    tx.insert(&sql::ADD_NEWS, &rows).await.map(drop)
}

/// Keeps what people are to be told of a step of a remediation.
pub(crate) async fn add_step(tx: &mut Tx, r: &Remediation) -> Result<(), StoreError> {
    let Some(id) = r.problem.as_ref().filter(|_| Notice::is_worth_telling(r)) else { return Ok(()) };
    let row = tx.row(sql::GET_PROBLEM, &values![ProblemId::as_str(id)]).await?;
    let Some(problem) = read_one("problems", row)? else { return Ok(()) };
    let Some(notice) = Notice::of_step(r, &problem) else { return Ok(()) };
    let news: Vec<_> = notice.for_whom(&problem).map(|whom| (whom, notice.clone())).collect();
    add(tx, &news).await
}

async fn forget(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    let before = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
    tx.run(sql::FORGET_NOTICES, &values![before]).await.map(drop)
}

#[async_trait]
impl Notices for Database {
    async fn announce(&self, names: &[String], now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.begin("have notices sent").await?;
        forget(&mut tx, now).await?;
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

    async fn tell(&self, news: &[(Whom, Notice)]) -> Result<(), StoreError> {
        let mut tx = self.begin("keep what people are to be told").await?;
        add(&mut tx, news).await?;
        tx.commit().await
    }

    async fn untold(&self) -> Result<Vec<Untold>, StoreError> {
        let mut tx = self.look("read who is to be told something").await?;
        let rows = tx.rows(sql::UNTOLD, &[]).await?;
        let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN);
        rows.iter()
            .map(|row| {
                Ok(Untold {
                    whom: Whom::from(row.get::<String>(0)?),
                    since: time(row.get(1)?),
                    rank: row.get(2)?,
                    urgent: row.get::<i64>(3)? != 0,
                    count: u64::try_from(row.get::<i64>(4)?).unwrap_or_default(),
                })
            })
            .collect()
    }

    async fn gather(&self, untold: &Untold, due: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("have somebody told").await?;
        let (kind, subject) = (WorkKind::Send, untold.subject());
        tx.run(sql::GATHER_NEWS, &values![kind.key(&subject), kind.as_str(), subject, untold.rank, due]).await?;
        tx.commit().await
    }

    async fn news(&self, whom: &Whom) -> Result<Vec<(String, Notice)>, StoreError> {
        let mut tx = self.look("read what somebody is to be told").await?;
        let rows = tx.rows(sql::NEWS_FOR, &values![whom.to_string()]).await?;
        rows.iter().map(|row| Ok((row.get(0)?, read("notices", row.get(1)?)?))).collect()
    }

    async fn told(&self, names: &[String], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("keep what somebody was told").await?;
        forget(&mut tx, now).await?;
        let names: Vec<Value<'_>> = names.iter().map(Value::from).collect();
        tx.pick(&sql::NEWS_TOLD, &names).await?;
        tx.commit().await
    }
}
