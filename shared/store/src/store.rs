//! The port, in a database.

use amend_domain::{
    Assessment, Problem, ResourceId, Setting,
    audit::{Entry, Head, Record},
    exemption::{Approval, Exemption},
    guard::{About, Budget, Hold, Tally},
    notice::Notice,
    plan::Remediation,
    said::{Said, Unheard},
    thing::Read,
    work::{After, Lease, Stop, Work, WorkKind},
};
use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Change, Filter, Input, Parked, Recorded, Store, StoreError, StoredDecision,
    body::{read, read_all, read_one, write},
    database::{Database, Pools, Row, Value, values},
    notice,
    postgres::Lock,
    record::{self, Batch},
    sql, trail, work,
};

fn time(micros: Option<i64>) -> Option<Timestamp> {
    micros.and_then(|micros| Timestamp::from_microsecond(micros).ok())
}

fn parked(row: &Row) -> Result<Parked, StoreError> {
    let mut parked: Parked = read("unreadable records", row.get(0)?)?;
    parked.resolved = time(row.get(1)?);
    Ok(parked)
}

impl Database {
    /// Seals every remediation that the first key has not sealed yet, so that others are not needed any more.
    /// Returns how many there were.
    ///
    /// # Errors
    /// When the store does not answer, or one cannot be opened.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        let (mut sealed, mut after) = (0_u64, String::new());
        loop {
            let mut tx = self.begin("seal remediations").await?;
            let (some, last) = work::reseal(&mut tx, &after).await?;
            tx.commit().await?;
            sealed = sealed.saturating_add(some);
            match last {
                Some(last) => after = last,
                None => return Ok(sealed),
            }
        }
    }
}

#[async_trait]
impl Store for Database {
    async fn record(&self, changes: &[Change], parked: &[Parked], now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        let mut tx = self.begin("record assessments").await?;
        let recorded = record::record(&mut tx, changes, parked, now).await?;
        tx.commit().await?;
        Ok(recorded)
    }

    async fn settle(&self, changes: &[Change], now: Timestamp) -> Result<Vec<Problem>, StoreError> {
        let mut tx = self.begin("settle problems").await?;
        let mut batch = Batch::of(&mut tx, changes, now).await?;
        let mut settled = Vec::new();
        for change in changes {
            settled.extend(batch.settle(change)?);
        }
        let entries = batch.write(&mut tx).await?;
        trail::add(&mut tx, entries).await?;
        tx.commit().await?;
        Ok(settled)
    }

    async fn undetermined(&self) -> Result<Vec<Assessment>, StoreError> {
        let mut tx = self.look("list what is undetermined").await?;
        read_all("assessments", &tx.rows(sql::UNDETERMINED, &[]).await?)
    }

    async fn parked(&self, resolved_too: bool, limit: u32) -> Result<Vec<Parked>, StoreError> {
        let mut tx = self.look("list unreadable records").await?;
        let rows = tx.rows(sql::LIST_PARKED, &values![resolved_too, limit]).await?;
        rows.iter().map(parked).collect()
    }

    async fn parked_one(&self, id: &str) -> Result<Option<Parked>, StoreError> {
        let mut tx = self.look("find an unreadable record").await?;
        tx.row(sql::FIND_PARKED, &values![id]).await?.as_ref().map(parked).transpose()
    }

    async fn resolve_parked(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("resolve an unreadable record").await?;
        tx.run(sql::RESOLVE_PARKED, &values![id, now]).await?;
        tx.commit().await
    }

    async fn problems(&self, filter: &Filter) -> Result<Vec<Problem>, StoreError> {
        let mut tx = self.look("list problems").await?;
        let values = values![
            filter.open.map(i64::from),
            filter.backlog.map(i64::from),
            filter.rule.as_deref(),
            filter.account.as_deref(),
            filter.due.map(|(from, _)| from.as_microsecond()),
            filter.due.map(|(_, to)| to.as_microsecond()),
            filter.limit.map_or(i64::MAX, i64::from),
        ];
        read_all("problems", &tx.rows(sql::LIST_PROBLEMS, &values).await?)
    }

    async fn find(&self, id: &str) -> Result<Vec<Problem>, StoreError> {
        let mut tx = self.look("find a problem").await?;
        let resource = ResourceId::new(id);
        let prefix = if id.len() >= 4 && id.starts_with("p-") { id } else { "p-none" };
        let values = values![prefix, resource.as_str(), id.to_ascii_lowercase()];
        read_all("problems", &tx.rows(sql::FIND_PROBLEMS, &values).await?)
    }

    async fn release(&self, ids: &[String], by: &str, now: Timestamp) -> Result<Vec<Problem>, StoreError> {
        let mut tx = self.begin("release from the backlog").await?;
        let names: Vec<_> = ids.iter().map(String::as_str).collect();
        tx.lock(Lock::Names(&names)).await?;
        let mut batch = Batch::empty(now);
        let (mut released, mut entries) = (Vec::new(), Vec::new());
        for id in ids {
            let rows = tx.rows(sql::RELEASABLE, &values![id]).await?;
            for mut problem in read_all::<Problem>("problems", &rows)? {
                if problem.release(now) {
                    batch.put(problem.clone());
                    entries.push(trail::let_go(now, by, &problem));
                    released.push(problem);
                }
            }
        }
        entries.extend(batch.write(&mut tx).await?);
        trail::add(&mut tx, entries).await?;
        tx.commit().await?;
        Ok(released)
    }

    async fn hear(
        &self,
        problem: &str,
        said: &Said,
        now: Timestamp,
    ) -> Result<Option<Result<Problem, Unheard>>, StoreError> {
        let mut tx = self.begin("keep what is said of a problem").await?;
        tx.lock(Lock::Names(&[problem])).await?;
        let row = tx.row(sql::GET_PROBLEM, &values![problem]).await?;
        let Some(mut problem): Option<Problem> = read_one("problems", row)? else { return Ok(None) };
        let mut batch = Batch::empty(now);
        batch.know(problem.clone());
        let before = problem.clone();
        if let Err(why) = problem.hear(said, now) {
            return Ok(Some(Err(why)));
        }
        batch.put(problem.clone());
        let mut entries = vec![trail::said(&before, &problem, said, now)];
        if let Said::Announced(announced) = said {
            let notice = Notice::announced(&problem, announced);
            let news: Vec<_> = notice.for_whom(&problem).map(|whom| (whom, notice.clone())).collect();
            notice::add(&mut tx, &news).await?;
        }
        entries.extend(batch.write(&mut tx).await?);
        trail::add(&mut tx, entries).await?;
        tx.commit().await?;
        Ok(Some(Ok(problem)))
    }

    async fn decisions(&self, problem: &str) -> Result<Vec<StoredDecision>, StoreError> {
        let mut tx = self.look("list decisions").await?;
        read_all("decisions", &tx.rows(sql::LIST_DECISIONS, &values![problem]).await?)
    }

    async fn assessments(&self, limit: u32) -> Result<Vec<Assessment>, StoreError> {
        let mut tx = self.look("list assessments").await?;
        read_all("assessments", &tx.rows(sql::LIST_ASSESSMENTS, &values![limit]).await?)
    }

    async fn archive_rules(&self, digest: &str, files: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("archive the rules").await?;
        tx.run(sql::PUT_RULES, &values![digest, now, files]).await?;
        tx.commit().await
    }

    async fn archived_rules(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let mut tx = self.look("read archived rules").await?;
        tx.row(sql::GET_RULES, &values![digest]).await?.map(|row| row.get(0)).transpose()
    }

    async fn keep_remediation(&self, r: &Remediation, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        self.must_seal()?;
        let mut tx = self.begin("keep a remediation").await?;
        work::lock(&mut tx, r).await?;
        work::not_stopped(&mut tx, r).await?;
        work::renew(&mut tx, r, lease, until).await?;
        work::put_remediation(&mut tx, r).await?;
        trail::add(&mut tx, vec![Entry::of(r)]).await?;
        tx.commit().await
    }

    async fn begin_remediation(&self, r: &Remediation, from: &Lease, budget: &Budget) -> Result<(), StoreError> {
        self.must_seal()?;
        let mut tx = self.begin("keep a remediation").await?;
        work::lock(&mut tx, r).await?;
        work::within_budget(&mut tx, r, budget).await?;
        work::not_stopped(&mut tx, r).await?;
        work::hand_over(&mut tx, r, from).await?;
        work::put_remediation(&mut tx, r).await?;
        trail::add(&mut tx, vec![Entry::of(r)]).await?;
        tx.commit().await
    }

    async fn tally(&self, about: &About<'_>) -> Result<Tally, StoreError> {
        work::tally(&mut self.look("count what was done lately").await?, about).await
    }

    async fn hold(&self, hold: &Hold) -> Result<(), StoreError> {
        let mut tx = self.begin("hold something").await?;
        tx.run(sql::PUT_HOLD, &values![&*hold.id, &*hold.on, hold.until, write("holds", hold)?]).await?;
        trail::add(&mut tx, vec![trail::held(hold.at, &hold.by, "hold", hold)]).await?;
        tx.commit().await
    }

    async fn holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
        let mut tx = self.look("list holds").await?;
        read_all("holds", &tx.rows(sql::LIST_HOLDS, &values![now]).await?)
    }

    async fn end_hold(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<Hold>, StoreError> {
        let mut tx = self.begin("end a hold").await?;
        tx.lock(Lock::Queue).await?;
        let hold: Option<Hold> = read_one("holds", tx.row(sql::DROP_HOLD, &values![id]).await?)?;
        if let Some(hold) = &hold {
            tx.run(sql::HASTEN_HELD, &values![now]).await?;
            trail::add(&mut tx, vec![trail::held(now, by, "release", hold)]).await?;
        }
        tx.commit().await?;
        Ok(hold)
    }

    async fn ask_exemption(&self, exemption: &Exemption) -> Result<(), StoreError> {
        let mut tx = self.begin("ask for an exemption").await?;
        let setting = exemption.setting.as_ref().map(Setting::as_str);
        let body = write("exemptions", exemption)?;
        let values = values![&*exemption.id, &*exemption.on, setting, exemption.until, exemption.remind, body];
        tx.run(sql::ADD_EXEMPTION, &values).await?;
        trail::add(&mut tx, vec![trail::exempted(exemption.at, &exemption.by, "exemption.asked", exemption)]).await?;
        tx.commit().await
    }

    async fn exemptions(&self, now: Timestamp) -> Result<Vec<Exemption>, StoreError> {
        let mut tx = self.look("list exemptions").await?;
        read_all("exemptions", &tx.rows(sql::LIST_EXEMPTIONS, &values![now]).await?)
    }

    async fn approve_exemption(&self, exemption: &Exemption, by: &Approval) -> Result<bool, StoreError> {
        let mut tx = self.begin("approve an exemption").await?;
        let values = values![&*exemption.id, write("exemptions", exemption)?, by.at];
        let approved = tx.run(sql::APPROVE_EXEMPTION, &values).await? == 1;
        if approved {
            trail::add(&mut tx, vec![trail::exempted(by.at, &by.by, "exemption.approved", exemption)]).await?;
        }
        tx.commit().await?;
        Ok(approved)
    }

    async fn end_exemption(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<Exemption>, StoreError> {
        let mut tx = self.begin("end an exemption").await?;
        tx.lock(Lock::Queue).await?;
        let ended: Option<Exemption> = read_one("exemptions", tx.row(sql::DROP_EXEMPTION, &values![id]).await?)?;
        if let Some(exemption) = &ended {
            tx.run(sql::HASTEN_HELD, &values![now]).await?;
            trail::add(&mut tx, vec![trail::exempted(now, by, "exemption.ended", exemption)]).await?;
        }
        tx.commit().await?;
        Ok(ended)
    }

    async fn remind_exemptions(&self, now: Timestamp) -> Result<Vec<Exemption>, StoreError> {
        let mut tx = self.begin("look for exemptions that end").await?;
        let ending: Vec<Exemption> = read_all("exemptions", &tx.rows(sql::REMIND_EXEMPTIONS, &values![now]).await?)?;
        let said = |one| trail::exempted(now, "amend", "exemption.ends-soon", one);
        trail::add(&mut tx, ending.iter().map(said).collect()).await?;
        tx.commit().await?;
        Ok(ending)
    }

    async fn claim(
        &self,
        [one, other]: [WorkKind; 2],
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<(Work, Lease)>, StoreError> {
        let mut tx = self.begin("take up work").await?;
        let claim = match self.pools {
            Pools::Sqlite { .. } => sql::CLAIM_WORK,
            Pools::Postgres { .. } => sql::CLAIM_WORK_AMONG_OTHERS,
        };
        let Some(row) = tx.row(claim, &values![holder, until, now, one.as_str(), other.as_str()]).await? else {
            return Ok(None);
        };
        let (work, fence) = work::work_of(&row)?;
        tx.commit().await?;
        let lease = Lease { key: work.key.clone(), holder: holder.to_owned(), fence };
        Ok(Some((work, lease)))
    }

    async fn lease(
        &self,
        remediation: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let (kind, key) = (WorkKind::Advance, WorkKind::Advance.key(remediation));
        let mut tx = self.begin("take up a remediation").await?;
        let values = values![&key, kind.as_str(), remediation, 0_i64, now, holder, until];
        let fence: Option<i64> = tx.row(sql::LEASE_WORK, &values).await?.map(|row| row.get(0)).transpose()?;
        tx.commit().await?;
        Ok(fence.map(|fence| Lease { key, holder: holder.to_owned(), fence }))
    }

    async fn leave(&self, lease: &Lease, after: &After, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("leave work").await?;
        work::leave(&mut tx, lease, after, now).await?;
        tx.commit().await
    }

    async fn work(&self, limit: u32) -> Result<Vec<Work>, StoreError> {
        let mut tx = self.look("list work").await?;
        let rows = tx.rows(sql::LIST_WORK, &values![limit]).await?;
        rows.iter().map(|row| work::work_of(row).map(|(work, _)| work)).collect()
    }

    async fn one_work(&self, key: &str) -> Result<Option<Work>, StoreError> {
        let mut tx = self.look("find work").await?;
        let row = tx.row(sql::GET_WORK, &values![key]).await?;
        row.as_ref().map(|row| work::work_of(row).map(|(work, _)| work)).transpose()
    }

    async fn retry_work(&self, key: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin("try work again").await?;
        tx.lock(Lock::Queue).await?;
        let done = tx.run(sql::RETRY_WORK, &values![key.unwrap_or_default(), now]).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn stopped(&self) -> Result<Option<Stop>, StoreError> {
        work::stopped(&mut self.look("read the stop switch").await?).await
    }

    async fn stop(&self, stop: &Stop) -> Result<Stop, StoreError> {
        let mut tx = self.begin("stop everything").await?;
        tx.lock(Lock::Switch).await?;
        tx.run(sql::PUT_STOP, &values![write("stops", stop)?]).await?;
        let holds = work::switch(&mut tx).await?;
        // Whoever stops what is stopped has a reason of their own: it stands in the trail.
        trail::add(&mut tx, vec![trail::switched(stop.at, &stop.by, "stop", &stop.why)]).await?;
        tx.commit().await?;
        Ok(holds.unwrap_or_else(|| stop.clone()))
    }

    async fn resume(&self, by: &str, now: Timestamp) -> Result<Option<Stop>, StoreError> {
        let mut tx = self.begin("go on").await?;
        tx.lock(Lock::Switch).await?;
        let was = work::switch(&mut tx).await?;
        if was.is_some() {
            tx.run(sql::DROP_STOP, &[]).await?;
            trail::add(&mut tx, vec![trail::switched(now, by, "resume", "")]).await?;
        }
        tx.commit().await?;
        Ok(was)
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let mut tx = self.look("read the audit trail").await?;
        let values = values![i64::try_from(after).unwrap_or(i64::MAX), limit];
        read_all("the audit trail", &tx.rows(sql::LIST_AUDIT, &values).await?)
    }

    async fn audit_of(&self, resource_or_account: &str, since: Timestamp) -> Result<Vec<Record>, StoreError> {
        let mut tx = self.look("read the audit trail").await?;
        read_all("the audit trail", &tx.rows(sql::RECENT_AUDIT, &values![resource_or_account, since]).await?)
    }

    async fn purge_audit(&self, through: &Head, by: &str, now: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut tx = self.begin("purge the audit trail").await?;
        let seq = i64::try_from(through.seq).unwrap_or(i64::MAX);
        let found = tx.row(sql::DIGEST_OF_AUDIT, &values![seq]).await?;
        let same = found.map(|row| row.get::<&str>(0).map(|digest| *digest == *through.digest)).transpose()?;
        if same != Some(true) {
            return Ok(None);
        }
        // This waits for others who purge: what they took out is not there any more.
        let purged = tx.run(sql::PURGE_AUDIT, &values![seq]).await?;
        if purged == 0 {
            return Ok(None);
        }
        trail::add_after(&mut tx, through.clone(), vec![Entry::purge(now, by, through)]).await?;
        tx.commit().await?;
        Ok(Some(purged))
    }

    async fn audit_add(&self, entry: Entry) -> Result<(), StoreError> {
        let mut tx = self.begin("add to the audit trail").await?;
        trail::add(&mut tx, vec![entry]).await?;
        tx.commit().await
    }

    async fn audit_about(&self, subject: &str) -> Result<Option<Record>, StoreError> {
        let mut tx = self.look("read the audit trail").await?;
        read_one("the audit trail", tx.row(sql::FIND_AUDIT, &values![subject]).await?)
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        trail::head(&mut self.look("read the audit trail").await?).await
    }

    async fn find_remediations(&self, id: &str) -> Result<Vec<Remediation>, StoreError> {
        let mut tx = self.look("find remediations").await?;
        let rows = tx.rows(sql::FIND_REMEDIATIONS, &values![id]).await?;
        work::open_all(&tx, &rows)
    }

    async fn remediations(
        &self,
        resource: Option<&str>,
        state: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Remediation>, StoreError> {
        let mut tx = self.look("list remediations").await?;
        let rows = tx.rows(sql::LIST_REMEDIATIONS, &values![resource, state, limit]).await?;
        work::open_all(&tx, &rows)
    }

    async fn facts(&self, things: &[&str]) -> Result<Vec<Option<(Timestamp, Read)>>, StoreError> {
        let mut tx = self.look("read facts").await?;
        let wanted: Vec<_> = things.iter().map(|thing| Value::from(*thing)).collect();
        let mut found = std::collections::HashMap::new();
        for row in tx.pick(&sql::PICK_FACTS, &wanted).await? {
            let asked = time(Some(row.get(1)?)).unwrap_or(Timestamp::MIN);
            let thing: String = row.get(0)?;
            found.insert(thing, (asked, read::<Read>("facts", row.get(2)?)?));
        }
        Ok(things.iter().map(|thing| found.get(*thing).cloned()).collect())
    }

    async fn keep_facts(&self, reads: &[(&str, &Read)], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("keep facts").await?;
        let reads: std::collections::BTreeMap<_, _> = reads.iter().copied().collect();
        let mut rows = Vec::new();
        for (thing, read) in reads {
            rows.extend(values![thing, now, write("facts", read)?]);
        }
        tx.insert(&sql::PUT_FACTS, &rows).await?;
        tx.commit().await
    }

    async fn imported(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut tx = self.look("read an import").await?;
        let rows = tx.rows(sql::LIST_IMPORTED, &[]).await?;
        rows.iter().map(|row| Ok((row.get(0)?, time(Some(row.get(1)?)).unwrap_or(Timestamp::MIN)))).collect()
    }

    async fn add_imported(&self, scope: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("keep how far an import is").await?;
        tx.run(sql::PUT_IMPORTED, &values![scope, now]).await?;
        tx.commit().await
    }

    async fn forget_imported(&self, scopes: &[String]) -> Result<(), StoreError> {
        let mut tx = self.begin("end an import").await?;
        let scopes: Vec<_> = scopes.iter().map(Value::from).collect();
        tx.pick(&sql::FORGET_IMPORTED, &scopes).await?;
        tx.commit().await
    }

    async fn remediations_of(&self, problem: &str) -> Result<Vec<Remediation>, StoreError> {
        let mut tx = self.look("list remediations").await?;
        let rows = tx.rows(sql::REMEDIATIONS_OF, &values![problem]).await?;
        work::open_all(&tx, &rows)
    }

    async fn inputs(&self) -> Result<Vec<Input>, StoreError> {
        let mut tx = self.look("list inputs").await?;
        let rows = tx.rows(sql::LIST_INPUTS, &[]).await?;
        let input = |row: &Row| {
            Ok(Input { account: row.get(0)?, last_event: time(row.get(1)?), last_snapshot: time(row.get(2)?) })
        };
        rows.iter().map(input).collect()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.look("answer").await?.rows("SELECT 1", &[]).await.map(drop)
    }
}
