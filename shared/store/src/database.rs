//! A database, its transactions, their values and rows: what SQLite and PostgreSQL have in common, so that
//! every method of the port stands once.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _, sync::Arc};

use amend_domain::{sync::System, work::Stop};
use serde::Serialize;
use sqlx::{Arguments, AssertSqlSafe, Encode, Type, postgres::PgRow, sqlite::SqliteRow};

use crate::{Keys, Place, StoreError, postgres, sql, sqlite};

/// A store in a database: a SQLite file for one machine, or PostgreSQL 15 or later for many.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) pools: Pools,
    keys: Keys,
    stop: Option<Arc<Stop>>,
    systems: Arc<BTreeSet<System>>,
}

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The place, without a password.
    pub place: String,
    /// What keeps it: `SQLite 3.50.4`, `PostgreSQL 16.2`.
    pub engine: String,
    /// The version of its schema; 0, where there is none.
    pub schema: i64,
    /// The version that this version of Amend needs.
    pub needs: i64,
}

#[derive(Clone, Debug)]
pub(crate) enum Pools {
    /// One writer, and readers that never wait for it.
    Sqlite { writer: sqlx::SqlitePool, readers: sqlx::SqlitePool },
    /// `pooled`: one connection is not the same from one transaction to the next.
    Postgres { pool: sqlx::PgPool, pooled: bool },
}

impl Database {
    /// Opens the store at a place. A file is made where it is missing, and its schema is brought forward; a
    /// server's schema is made by [`Database::migrate`].
    ///
    /// # Errors
    /// When it cannot be reached, or another version of Amend made its schema.
    pub async fn open(place: &Place) -> Result<Self, StoreError> {
        let pools = match place {
            Place::File(path) => sqlite::open(path).await?,
            Place::Server(server) => Pools::Postgres { pool: postgres::open(server).await?, pooled: server.pooler },
        };
        Ok(Self { pools, keys: Keys::default(), stop: None, systems: Arc::default() })
    }

    /// The same, with keys that remediations are sealed with.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// The same, stopped whatever the switch says that the store keeps; or as that says.
    #[must_use]
    pub fn with_stop(self, stop: Option<Stop>) -> Self {
        Self { stop: stop.map(Arc::new), ..self }
    }

    /// The same, which queues what these systems are to be told.
    #[must_use]
    pub fn with_systems(self, systems: BTreeSet<System>) -> Self {
        Self { systems: Arc::new(systems), ..self }
    }

    /// Whether a remediation may be kept: on a server others look into, only sealed.
    pub(crate) fn must_seal(&self) -> Result<(), StoreError> {
        let others = matches!(self.pools, Pools::Postgres { .. });
        if others && self.keys.is_empty() { Err(StoreError::NoKey) } else { Ok(()) }
    }

    /// Makes the schema at a place, or brings it forward. Returns the version that was there, 0 for none, and
    /// the one that is there now.
    ///
    /// # Errors
    /// When it cannot be reached, or a later version of Amend made its schema.
    pub async fn migrate(place: &Place) -> Result<(i64, i64), StoreError> {
        match place {
            Place::File(path) => sqlite::migrate(path).await,
            Place::Server(server) => postgres::migrate(server).await,
        }
    }

    /// What is at a place, whatever version made it; nothing is made or changed.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn status(place: &Place) -> Result<Status, StoreError> {
        let (engine, schema) = match place {
            Place::File(path) => sqlite::status(path).await?,
            Place::Server(server) => postgres::status(server).await?,
        };
        Ok(Status { place: place.to_string(), engine, schema, needs: sql::VERSION })
    }

    /// For how many connections there is room: any number in a file; on a server what it lets everybody open but
    /// its administrators.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn room(&self) -> Result<u64, StoreError> {
        match &self.pools {
            Pools::Sqlite { .. } => Ok(u64::MAX),
            Pools::Postgres { pool, .. } => postgres::room(pool).await,
        }
    }

    /// Finishes what is being written and closes the store.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self, doing: &'static str) -> Result<Tx, StoreError> {
        let begun = match &self.pools {
            Pools::Sqlite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(On::Sqlite),
            Pools::Postgres { pool, pooled } => {
                pool.begin_with(postgres::BEGIN).await.map(|on| On::Postgres { on, prepares: !pooled })
            }
        };
        begun.map(|on| self.tx(doing, on)).map_err(|source| StoreError::Failed { doing, source })
    }

    fn tx(&self, doing: &'static str, on: On) -> Tx {
        let (stop, systems) = (self.stop.clone(), Arc::clone(&self.systems));
        Tx { doing, on, keys: self.keys.clone(), stop, systems }
    }

    /// Begins a transaction that sees one state of the store, and only reads.
    pub(crate) async fn look(&self, doing: &'static str) -> Result<Tx, StoreError> {
        let begun = match &self.pools {
            Pools::Sqlite { readers, .. } => readers.begin().await.map(On::Sqlite),
            Pools::Postgres { pool, pooled } => {
                pool.begin_with(postgres::LOOK).await.map(|on| On::Postgres { on, prepares: !pooled })
            }
        };
        begun.map(|on| self.tx(doing, on)).map_err(|source| StoreError::Failed { doing, source })
    }
}

/// A transaction. What is not committed is rolled back.
pub(crate) struct Tx {
    doing: &'static str,
    pub(crate) on: On,
    /// What remediations are sealed with.
    pub(crate) keys: Keys,
    /// What stops everything, beside the switch.
    pub(crate) stop: Option<Arc<Stop>>,
    /// The systems that are told what became of problems.
    pub(crate) systems: Arc<BTreeSet<System>>,
}

pub(crate) enum On {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    /// `prepares`: statements may stay prepared on the connection.
    Postgres {
        on: sqlx::Transaction<'static, sqlx::Postgres>,
        prepares: bool,
    },
}

/// A value that a statement is given.
#[derive(Clone, Debug)]
pub(crate) enum Value<'v> {
    Text(Cow<'v, str>),
    NoText,
    Number(i64),
    NoNumber,
}

/// Rows of values to insert, however many there are.
pub(crate) struct Insert {
    /// `INSERT INTO table (columns)`.
    pub into: &'static str,
    pub columns: usize,
    /// What follows the rows.
    pub then: &'static str,
}

/// Rows to look up by keys, however many there are: `select` joins them as `wanted`.
pub(crate) struct Pick {
    /// The columns of a key.
    pub key: &'static [&'static str],
    pub select: &'static str,
}

/// How many rows a statement has at most. Each power of two below it is a statement of its own, so that few
/// are prepared.
const MOST: usize = 64;

impl Tx {
    fn failed(&self) -> impl Fn(sqlx::Error) -> StoreError + use<> {
        let doing = self.doing;
        move |source| StoreError::Failed { doing, source }
    }

    /// Opens the body of a remediation. On a server one that is not sealed was put there by somebody else.
    pub fn open(&self, id: &str, body: &str) -> Result<String, StoreError> {
        self.keys.open(id, body, matches!(self.on, On::Postgres { .. }))
    }

    /// Runs a statement. Returns how many rows it touched.
    pub async fn run(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let failed = self.failed();
        match &mut self.on {
            On::Sqlite(on) => {
                let query = sqlx::query_with(statement, arguments::<sqlx::Sqlite>(values).map_err(&failed)?);
                query.execute(&mut **on).await.map(|done| done.rows_affected())
            }
            On::Postgres { on, prepares } => {
                let query = sqlx::query_with(statement, arguments::<sqlx::Postgres>(values).map_err(&failed)?);
                query.persistent(*prepares).execute(&mut **on).await.map(|done| done.rows_affected())
            }
        }
        .map_err(failed)
    }

    /// The rows that a statement returns.
    pub async fn rows(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.fetch(sqlx::SqlStr::from_static(statement), values).await
    }

    /// The first of them.
    pub async fn row(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement, values).await?.into_iter().next())
    }

    async fn fetch(&mut self, statement: sqlx::SqlStr, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let failed = self.failed();
        match &mut self.on {
            On::Sqlite(on) => {
                let query = sqlx::query_with(statement, arguments::<sqlx::Sqlite>(values).map_err(&failed)?);
                query.fetch_all(&mut **on).await.map(|rows| rows.into_iter().map(Row::Sqlite).collect())
            }
            On::Postgres { on, prepares } => {
                let query = sqlx::query_with(statement, arguments::<sqlx::Postgres>(values).map_err(&failed)?);
                let rows = query.persistent(*prepares).fetch_all(&mut **on).await;
                rows.map(|rows| rows.into_iter().map(Row::Postgres).collect())
            }
        }
        .map_err(failed)
    }

    /// Inserts rows, in their order. Returns what the statement returns of each.
    pub async fn insert(&mut self, insert: &Insert, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut returned = Vec::new();
        for part in parts(values, insert.columns) {
            let mut statement = format!("{} VALUES ", insert.into);
            placeholders(&mut statement, part.len(), insert.columns);
            statement.push(' ');
            statement.push_str(insert.then);
            returned.extend(self.fetch(sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(statement)), part).await?);
        }
        Ok(returned)
    }

    /// Looks rows up by their keys.
    pub async fn pick(&mut self, pick: &Pick, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for part in parts(values, pick.key.len()) {
            let mut statement = format!("WITH wanted ({}) AS (VALUES ", pick.key.join(", "));
            placeholders(&mut statement, part.len(), pick.key.len());
            statement.push_str(") ");
            statement.push_str(pick.select);
            found.extend(self.fetch(sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(statement)), part).await?);
        }
        Ok(found)
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        let failed = self.failed();
        match self.on {
            On::Sqlite(on) => on.commit().await,
            On::Postgres { on, .. } => on.commit().await,
        }
        .map_err(failed)
    }
}

fn arguments<D>(values: &[Value<'_>]) -> Result<D::Arguments, sqlx::Error>
where
    D: sqlx::Database,
    for<'t> &'t str: Encode<'t, D> + Type<D>,
    for<'t> Option<&'t str>: Encode<'t, D> + Type<D>,
    for<'t> i64: Encode<'t, D> + Type<D>,
    for<'t> Option<i64>: Encode<'t, D> + Type<D>,
{
    let mut arguments = D::Arguments::default();
    for value in values {
        match value {
            // PostgreSQL has no zero bytes, and so nothing that is stored has any: such a name finds nothing.
            Value::Text(text) if text.contains('\0') => arguments.add::<&str>(&text.replace('\0', "\u{fffd}")),
            Value::Text(text) => arguments.add::<&str>(text),
            Value::NoText => arguments.add(None::<&str>),
            Value::Number(number) => arguments.add(*number),
            Value::NoNumber => arguments.add(None::<i64>),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Rows in groups of powers of two, the largest first.
fn parts<'a, 'v>(values: &'a [Value<'v>], columns: usize) -> impl Iterator<Item = &'a [Value<'v>]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let rows = rest.len().checked_div(columns).filter(|rows| *rows > 0)?;
        let group = 1_usize.checked_shl(rows.ilog2()).unwrap_or(1).min(MOST);
        let (part, after) = rest.split_at_checked(group.saturating_mul(columns))?;
        rest = after;
        Some(part)
    })
}

/// `($1, $2), ($3, $4)`.
fn placeholders(into: &mut String, values: usize, columns: usize) {
    for n in 1..=values {
        let first = columns == 1 || n.checked_rem(columns) == Some(1);
        into.push_str(if n == 1 {
            "("
        } else if first {
            "), ("
        } else {
            ", "
        });
        let _ = write!(into, "${n}");
    }
    into.push(')');
}

/// A row that a statement returned.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value in a column, from 0.
    pub fn get<'r, T>(&'r self, column: usize) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite>
            + Type<sqlx::Sqlite>
            + sqlx::Decode<'r, sqlx::Postgres>
            + Type<sqlx::Postgres>,
    {
        match self {
            Self::Sqlite(row) => sqlx::Row::try_get(row, column),
            Self::Postgres(row) => sqlx::Row::try_get(row, column),
        }
        .map_err(|source| StoreError::Failed { doing: "read a row", source })
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text.into())
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        text.map_or(Self::NoText, Self::from)
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::NoText, Self::from)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::NoNumber, Self::Number)
    }
}

impl From<jiff::Timestamp> for Value<'_> {
    fn from(time: jiff::Timestamp) -> Self {
        Self::Number(time.as_microsecond())
    }
}

impl From<Option<jiff::Timestamp>> for Value<'_> {
    fn from(time: Option<jiff::Timestamp>) -> Self {
        time.map_or(Self::NoNumber, Self::from)
    }
}

/// `values![a, b]`: an array of values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::database::Value::from($value)),*] };
}
pub(crate) use values;
