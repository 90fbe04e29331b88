//! PostgreSQL 15 and later: for as many processes on as many machines as there are.
//!
//! SQLite has one writer; here several write at once, in transactions that see what others have committed
//! (`READ COMMITTED`). So a transaction first takes the locks of what it is about, by name ([`Lock`]), and
//! then reads. Locks end with their transaction, as a pooler that hands out connections by the transaction
//! needs it. They are taken in one order, and rows are written in the order of their keys, so that no two
//! transactions wait for each other: the stop switch, then problems, resources and assessments, then the
//! budget, then rows, and the end of the audit trail last.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgPool, Row as _, SqlSafeStr,
    postgres::{PgArguments, PgPoolOptions},
    query::Query,
};

use crate::{
    StoreError,
    database::{On, Tx},
    place::Server,
    sql,
};

/// Begins a transaction that writes. What is stuck gives up, and its caller tries again.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '10s'; \
    SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// Begins a transaction that reads one state of the store.
pub(crate) const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = '30s'";

const LEAST: i64 = 150_000;

/// Connects. The schema must be there.
pub(crate) async fn open(server: &Server) -> Result<PgPool, StoreError> {
    let fail = |source| StoreError::Open { path: server.to_string(), source };
    let pool = connect(server).await?;
    let mut look = pool.begin_with(LOOK).await.map_err(fail)?;
    let found = version(&mut look).await.map_err(fail)?;
    if found < sql::VERSION {
        return Err(StoreError::Older { path: server.to_string(), found, known: sql::VERSION });
    }
    if found > sql::VERSION {
        return Err(StoreError::newer(server, found));
    }
    look.commit().await.map_err(fail)?;
    Ok(pool)
}

/// Makes the schema, or brings it forward. Returns the version that was there, and the one that is now.
pub(crate) async fn migrate(server: &Server) -> Result<(i64, i64), StoreError> {
    let fail = |source| StoreError::Open { path: server.to_string(), source };
    let pool = connect(server).await?;
    // A new index may take its time.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";
    let mut transaction = pool.begin_with(begin).await.map_err(fail)?;
    once(LOCK).bind(SCHEMA).bind(0_i32).execute(&mut *transaction).await.map_err(fail)?;
    let found = version(&mut transaction).await.map_err(fail)?;
    for statement in sql::steps(found).ok_or_else(|| StoreError::newer(server, found))? {
        // Ids are compared byte by byte, in whatever language the server was set up.
        let statement = statement.replace(" TEXT", " TEXT COLLATE \"C\"");
        once(AssertSqlSafe(statement)).execute(&mut *transaction).await.map_err(fail)?;
    }
    for statement in ["CREATE TABLE IF NOT EXISTS amend_schema (version BIGINT NOT NULL)", "DELETE FROM amend_schema"] {
        once(statement).execute(&mut *transaction).await.map_err(fail)?;
    }
    let version = once("INSERT INTO amend_schema (version) VALUES ($1)").bind(sql::VERSION);
    version.execute(&mut *transaction).await.map_err(fail)?;
    transaction.commit().await.map_err(fail)?;
    pool.close().await;
    Ok((found, sql::VERSION))
}

/// What is there: the engine, and the version of the schema.
pub(crate) async fn status(server: &Server) -> Result<(String, i64), StoreError> {
    let fail = |source| StoreError::Open { path: server.to_string(), source };
    let mut look = connect(server).await?.begin_with(LOOK).await.map_err(fail)?;
    let engine = once("SELECT version()").fetch_one(&mut *look).await.and_then(|row| row.try_get::<String, _>(0));
    let engine = engine.map_err(fail)?;
    let engine = engine.split([',', '(']).next().unwrap_or_default();
    let engine = engine.split(" on ").next().unwrap_or_default().trim().to_owned();
    Ok((engine, version(&mut look).await.map_err(fail)?))
}

/// A statement that is not kept prepared.
fn once<'q>(statement: impl SqlSafeStr) -> Query<'q, sqlx::Postgres, PgArguments> {
    sqlx::query(statement).persistent(false)
}

/// Connections to a server that will do.
async fn connect(server: &Server) -> Result<PgPool, StoreError> {
    let fail = |source| StoreError::Open { path: server.to_string(), source };
    let options = server.options().map_err(fail)?;
    // A pool would try for a while, and then say no more than that it did.
    let connecting = tokio::time::timeout(Duration::from_secs(10), options.connect()).await;
    let mut first = connecting.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(fail)?;
    let mut look = first.begin_with(LOOK).await.map_err(fail)?;
    let settings =
        once("SELECT CAST(current_setting('server_version_num') AS BIGINT), current_setting('synchronous_commit')");
    let (version, durable): (i64, String) =
        settings.fetch_one(&mut *look).await.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?))).map_err(fail)?;
    look.commit().await.map_err(fail)?;
    first.close().await.map_err(fail)?;
    let why = if version < LEAST {
        format!("it is PostgreSQL {}; amend needs 15 or later", version.checked_div(10_000).unwrap_or_default())
    } else if durable == "off" {
        "its `synchronous_commit` is off: what was written could be lost, and be done twice".into()
    } else {
        let pool = PgPoolOptions::new().max_connections(server.connections).acquire_timeout(Duration::from_secs(10));
        return Ok(pool.connect_lazy_with(options));
    };
    Err(StoreError::Unfit { path: server.to_string(), why })
}

/// How many connections the server lets everybody open but its administrators
/// (<https://www.postgresql.org/docs/current/runtime-config-connection.html>), and this user.
pub(crate) async fn room(pool: &PgPool) -> Result<u64, StoreError> {
    let fail = |source| StoreError::Failed { doing: "say for how many connections it has room", source };
    let mut look = pool.begin_with(LOOK).await.map_err(fail)?;
    let asked = once(
        "SELECT CAST(current_setting('max_connections') AS BIGINT) \
         - CAST(current_setting('superuser_reserved_connections') AS BIGINT), \
         (SELECT CAST(rolconnlimit AS BIGINT) FROM pg_roles WHERE rolname = current_user)",
    );
    let row = asked.fetch_one(&mut *look).await.map_err(fail)?;
    let room: i64 = row.try_get(0).map_err(fail)?;
    let own: Option<i64> = row.try_get(1).map_err(fail)?;
    look.commit().await.map_err(fail)?;
    // -1 is no limit of the user's own.
    let room = own.filter(|own| *own >= 0).map_or(room, |own| own.min(room));
    Ok(u64::try_from(room).unwrap_or_default())
}

/// The version of the schema; 0, where there is none.
async fn version(look: &mut sqlx::Transaction<'_, sqlx::Postgres>) -> Result<i64, sqlx::Error> {
    let there = once("SELECT to_regclass('amend_schema') IS NOT NULL").fetch_one(&mut **look).await?;
    if !there.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let version = once("SELECT version FROM amend_schema").fetch_optional(&mut **look).await?;
    version.map_or(Ok(0), |row| row.try_get(0))
}

/// What a transaction locks, until it ends, before it looks.
pub(crate) enum Lock<'l> {
    /// It stops everything, or lets it go on.
    Switch,
    /// It does something that a stop would forbid.
    Switched,
    /// Problems, resources and assessments, by their ids.
    Names(&'l [&'l str]),
    /// It counts what was begun, and begins something.
    Budget,
    /// The whole queue.
    Queue,
    /// The end of the audit trail: nothing else is locked after it.
    Trail,
}

const LOCK: &str = "SELECT pg_advisory_xact_lock($1, $2)";
const SHARE: &str = "SELECT pg_advisory_xact_lock_shared($1, $2)";
/// A function of rows is called in their order.
const STRIPES: &str = "SELECT pg_advisory_xact_lock($1, stripe) FROM unnest($2) AS stripe";

/// The first numbers of our advisory locks: `amnd`, and what they are for.
const SCHEMA: i32 = 0x616d_6e00;
const SWITCH: i32 = SCHEMA + 1;
const NAMES: i32 = SCHEMA + 2;
const BUDGET: i32 = SCHEMA + 3;
const TRAIL: i32 = SCHEMA + 4;

/// A server has room for some thousands of locks: names share these.
const STRIPED: u32 = 1_024;

impl Tx {
    /// Waits for a lock, where others may write: SQLite has one writer.
    pub async fn lock(&mut self, lock: Lock<'_>) -> Result<(), StoreError> {
        let On::Postgres { on, prepares } = &mut self.on else { return Ok(()) };
        let query = match lock {
            Lock::Switch => sqlx::query(LOCK).bind(SWITCH).bind(0_i32),
            Lock::Switched => sqlx::query(SHARE).bind(SWITCH).bind(0_i32),
            Lock::Budget => sqlx::query(LOCK).bind(BUDGET).bind(0_i32),
            Lock::Trail => sqlx::query(LOCK).bind(TRAIL).bind(0_i32),
            Lock::Queue => sqlx::query("LOCK TABLE work IN SHARE ROW EXCLUSIVE MODE"),
            Lock::Names(names) => {
                let stripe =
                    |name: &&str| i32::try_from(crc32fast::hash(name.as_bytes()) % STRIPED).unwrap_or_default();
                let mut stripes: Vec<i32> = names.iter().map(stripe).collect();
                stripes.sort_unstable();
                stripes.dedup();
                sqlx::query(STRIPES).bind(NAMES).bind(stripes)
            }
        };
        let done = query.persistent(*prepares).execute(&mut **on).await;
        done.map(|_| ()).map_err(|source| StoreError::Failed { doing: "wait for others", source })
    }
}
