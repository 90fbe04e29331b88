//! Stores that are new, on whichever database a test asks for, and that go away with it.

use std::{str::FromStr as _, sync::OnceLock};

use amend_store::{Database, Keys, Place, Server};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use crate::clouds::Served;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
    /// A server behind a pooler that hands out connections by the transaction.
    Pooled,
}

impl Kind {
    /// The kind that tests run on which do not say: `AMEND_STORE=postgres` has the server.
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the product")]
    pub fn usual() -> Self {
        match std::env::var("AMEND_STORE").as_deref() {
            Ok("postgres") => Self::Postgres,
            Ok("pooled") => Self::Pooled,
            _ => Self::Sqlite,
        }
    }
}

/// A store without anything in it.
pub struct Fresh {
    /// Where it is.
    pub place: Place,
    /// A folder that goes away with it.
    pub folder: tempfile::TempDir,
    /// The database to drop on a server that outlives the tests.
    drop: Option<String>,
}

impl Fresh {
    /// Makes one.
    pub async fn new(kind: Kind) -> Self {
        if kind == Kind::Sqlite {
            let folder = tempfile::tempdir().expect("a temporary folder");
            return Self { place: Place::File(folder.path().join("amend.db")), folder, drop: None };
        }
        let name = new_name();
        if is_given() {
            // A template would be left behind.
            run(&format!("CREATE DATABASE {name}")).await;
            Database::migrate(&place(&name, None)).await.expect("migrated");
        } else {
            let template = template().await;
            run(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        }
        Self::on_server(name, (kind == Kind::Pooled).then(pooler))
    }

    fn on_server(name: String, port: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { place: place(&name, port), folder, drop: is_given().then_some(name) }
    }

    /// A database on the server without tables.
    pub async fn empty() -> Self {
        let name = new_name();
        run(&format!("CREATE DATABASE {name}")).await;
        Self::on_server(name, None)
    }

    /// The same database, with one more setting of the connection.
    pub fn with(&self, setting: &str) -> Place {
        let url = url(&self.database(), None);
        let joint = if url.contains('?') { '&' } else { '?' };
        Place::Server(Server::new(&format!("{url}{joint}{setting}")).expect("a URL of a server"))
    }

    /// Cuts every connection to it, where it is on a server.
    pub async fn cut(&self) {
        if matches!(self.place, Place::Server(_)) {
            let name = self.database();
            run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
        }
    }

    /// Opens it. On a server, remediations are sealed.
    pub async fn open(&self) -> Database {
        let store = Database::open(&self.place).await.expect("a store");
        match self.place {
            Place::File(_) => store,
            Place::Server(_) => store.with_keys(keys(&[KEY])),
        }
    }

    /// A copy of what is in it. Nobody else may have it open, where it is on a server.
    pub async fn copy(&self) -> Self {
        match &self.place {
            Place::File(path) => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let to = folder.path().join("amend.db");
                let mut original = sqlite(path).await;
                let into = AssertSqlSafe(format!("VACUUM INTO '{}'", to.display()));
                sqlx::query(into).execute(&mut original).await.expect("copied");
                Self { place: Place::File(to), folder, drop: None }
            }
            Place::Server(_) => {
                let (name, original) = (new_name(), self.database());
                self.cut().await;
                run(&format!("CREATE DATABASE {name} TEMPLATE {original}")).await;
                Self::on_server(name, None)
            }
        }
    }

    /// Its name on the server.
    pub fn database(&self) -> String {
        self.place.to_string().rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Changes it on a server as another role; what the server says where it does not let it.
    pub async fn try_as(&self, role: &str, password: &str, statement: &str) -> Result<(), String> {
        let options = PgConnectOptions::from_str(&url_as(role, &self.database())).expect("a URL").password(password);
        let mut connection = PgConnection::connect_with(&options).await.map_err(|error| error.to_string())?;
        let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
        done.map(|_| ()).map_err(|error| error.to_string())
    }

    /// The texts that a statement returns, as they stand in the database.
    pub async fn texts(&self, statement: &str) -> Vec<String> {
        let statement = AssertSqlSafe(statement.to_owned());
        match &self.place {
            Place::File(path) => sqlx::query_scalar(statement).fetch_all(&mut sqlite(path).await).await.expect("rows"),
            Place::Server(_) => {
                let mut connection = connect(&self.database()).await;
                sqlx::query_scalar(statement).fetch_all(&mut connection).await.expect("rows")
            }
        }
    }

    /// Changes it behind everybody's back.
    pub async fn tamper(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        match &self.place {
            Place::File(path) => {
                let mut connection = sqlite(path).await;
                sqlx::query(statement).execute(&mut connection).await.expect("changed");
                connection.close().await.expect("closed");
            }
            Place::Server(_) => {
                let mut connection = connect(&self.database()).await;
                sqlx::query(statement).execute(&mut connection).await.expect("changed");
                connection.close().await.expect("closed");
            }
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let Some(name) = self.drop.take() else { return };
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        });
        let _ = dropping.join();
    }
}

async fn sqlite(path: &std::path::Path) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    sqlx::SqliteConnection::connect_with(&options).await.expect("a connection")
}

/// A key of the tests.
pub const KEY: &str = "QW1lbmQncyB0ZXN0cyBhcmUgbm90IGEgc2VjcmV0ISE=";

/// Keys.
pub fn keys(texts: &[&str]) -> Keys {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    Keys::read(&texts).expect("keys")
}

/// Whether the server is somebody's, and outlives the tests.
fn is_given() -> bool {
    Served::postgres().hello.get("given").is_some()
}

async fn connect(database: &str) -> PgConnection {
    PgConnection::connect(&url(database, None)).await.expect("a connection")
}

fn new_name() -> String {
    format!("amend_{}", ulid::Ulid::generate().to_string().to_lowercase())
}

/// The URL of a database of the server.
pub fn url(database: &str, port: Option<u64>) -> String {
    let hello = &Served::postgres().hello;
    let url = hello["url"].as_str().expect("a URL");
    let (server, rest) = url.rsplit_once('/').expect("a database");
    let server = match port {
        Some(port) => format!("{}:{port}", server.rsplit_once(':').expect("a port").0),
        None => server.to_owned(),
    };
    let options = rest.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
    format!("{server}/{database}{options}")
}

/// The URL of a database of the server, for another role.
pub fn url_as(role: &str, database: &str) -> String {
    let options = PgConnectOptions::from_str(&url(database, None)).expect("a URL");
    format!("postgres://{role}@{}:{}/{database}", options.get_host(), options.get_port())
}

fn place(database: &str, port: Option<u64>) -> Place {
    let server = Server::new(&url(database, port)).expect("a URL of a server");
    // A client of a pooler may have more connections than the pooler has.
    Place::Server(server.with(8, port.is_some()))
}

/// Whether there is a pooler to test with: PgBouncer is not everywhere.
pub fn has_pooler() -> bool {
    pooler_port().is_some()
}

fn pooler() -> u64 {
    pooler_port().expect("PgBouncer is not installed on this machine")
}

fn pooler_port() -> Option<u64> {
    static PORT: OnceLock<Option<u64>> = OnceLock::new();
    *PORT.get_or_init(|| Served::postgres().ask(&json!({ "do": "pooler" }))["port"].as_u64())
}

/// A database with the tables, that new ones are copied from.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let name = new_name();
            run(&format!("CREATE DATABASE {name}")).await;
            assert_eq!(Database::migrate(&place(&name, None)).await.expect("migrated").0, 0);
            name
        })
        .await
}

/// Runs a statement on the server.
async fn run(statement: &str) {
    let hello = &Served::postgres().hello;
    let mut connection = PgConnection::connect(hello["url"].as_str().expect("a URL")).await.expect("a connection");
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.expect(statement);
    connection.close().await.expect("closed");
}
