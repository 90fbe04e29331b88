//! SQLite: one file, one writer, for the processes of one machine. WAL, so that readers never wait.

use std::{path::Path, str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{StoreError, database::Pools, sql};

/// Opens the file at `path`, and makes it and its schema where they are missing.
pub(crate) async fn open(path: &Path) -> Result<Pools, StoreError> {
    let fail = opening(path);
    let (options, writer) = writer(path).await?;
    if version(&writer).await.map_err(&fail)? != sql::VERSION {
        bring_forward(path, &writer).await?;
    }
    let readers =
        SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await.map_err(&fail)?;
    Ok(Pools::Sqlite { writer, readers })
}

/// Brings the schema forward. Returns the version that was there, and the one that is now.
pub(crate) async fn migrate(path: &Path) -> Result<(i64, i64), StoreError> {
    let (_, writer) = writer(path).await?;
    let found = bring_forward(path, &writer).await?;
    writer.close().await;
    Ok((found, sql::VERSION))
}

/// What is there: the engine, and the version of the schema.
pub(crate) async fn status(path: &Path) -> Result<(String, i64), StoreError> {
    let fail = opening(path);
    let there = tokio::fs::try_exists(path).await.map_err(|error| fail(sqlx::Error::Io(error)))?;
    let options = if there {
        SqliteConnectOptions::new().filename(path).read_only(true)
    } else {
        SqliteConnectOptions::new().in_memory(true)
    };
    let mut connection = options.connect().await.map_err(&fail)?;
    let engine: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(&fail)?;
    let schema = version(&mut connection).await.map_err(&fail)?;
    Ok((format!("SQLite {engine}"), schema))
}

fn opening(path: &Path) -> impl Fn(sqlx::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Open { path: path.clone(), source }
}

async fn writer(path: &Path) -> Result<(SqliteConnectOptions, SqlitePool), StoreError> {
    let fail = opening(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await.map_err(|error| fail(sqlx::Error::Io(error)))?;
    }
    let options = SqliteConnectOptions::from_str("sqlite:")
        .map_err(&fail)?
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(256)
        .foreign_keys(true);
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(&fail)?;
    // What was there before fixes is in it: for its owner alone.
    private(path).await.map_err(|error| fail(sqlx::Error::Io(error)))?;
    Ok((options, writer))
}

async fn version<'e>(on: impl sqlx::Executor<'e, Database = sqlx::Sqlite>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(on).await
}

async fn bring_forward(path: &Path, writer: &SqlitePool) -> Result<i64, StoreError> {
    let fail = opening(path);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(&fail)?;
    let found = version(&mut *transaction).await.map_err(&fail)?;
    for statement in sql::steps(found).ok_or_else(|| StoreError::newer(path.display(), found))? {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(&fail)?;
    }
    let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", sql::VERSION));
    sqlx::query(version).execute(&mut *transaction).await.map_err(&fail)?;
    transaction.commit().await.map_err(&fail)?;
    Ok(found)
}

#[cfg(unix)]
async fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).await
}

#[cfg(not(unix))]
async fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}
