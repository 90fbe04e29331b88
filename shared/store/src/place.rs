//! Where a store is.

use std::{fmt, path::PathBuf, str::FromStr as _};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL server.
    Server(Server),
}

/// A PostgreSQL server, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    pub(crate) pooler: bool,
    pub(crate) connections: u32,
}

impl Server {
    /// A server by its URL, `postgres://user@host:5432/database`, in the form that libpq documents
    /// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
    ///
    /// # Errors
    /// Says what is wrong with the URL, without repeating it: it may hold a password.
    pub fn new(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it does not begin with `postgres://`".into());
        }
        if url.contains('#') {
            return Err("it has a `#`, and nothing after that would count; in a password, write it as `%23`".into());
        }
        // What is not known would be left out, and may have been meant to make it safe.
        if let Some(unknown) = settings(url).find(|name| !KNOWN.contains(name)) {
            // A password with a `?` in it ends up here.
            let name = if unknown.contains('@') { "what follows the `?`" } else { unknown };
            return Err(format!("`{name}` is no setting; known are {}", KNOWN.join(", ")));
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| "it is no URL of a PostgreSQL server".to_owned())?;
        if options.get_database().is_none() {
            return Err("it names no database".into());
        }
        Ok(Self { url: url.to_owned(), pooler: false, connections: 8 })
    }

    /// The same with at most this many connections (8 otherwise), and whether a pooler that hands them out by
    /// the transaction stands between (none otherwise): then nothing may outlive a transaction.
    #[must_use]
    pub fn with(self, connections: u32, pooler: bool) -> Self {
        Self { connections, pooler, ..self }
    }

    /// How many connections one process opens at most.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether a pooler stands between.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.pooler
    }

    /// How to connect. Where the URL does not say how far the connection is to be trusted, a server on
    /// another machine must show a certificate that is valid for its name.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.url)?;
        let says = settings(&self.url).any(|name| name == "sslmode");
        let here = options.get_socket().is_some()
            || options.get_host().starts_with('/')
            || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&options.get_host());
        let options = if says || here { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
        Ok(options
            .application_name("amend")
            // A pooler refuses what it does not know.
            .extra_float_digits(None)
            .statement_cache_capacity(if self.pooler { 0 } else { 256 }))
    }
}

/// The settings that a URL may have.
const KNOWN: [&str; 8] = ["host", "hostaddr", "port", "options", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// The names of the settings of a URL.
fn settings(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter(|one| !one.is_empty()).map(|one| one.split('=').next().unwrap_or_default())
}

/// Without the password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = PgConnectOptions::from_str(&self.url) else { return f.write_str("postgres://?") };
        let database = options.get_database().unwrap_or_default();
        write!(f, "postgres://{}@{}:{}/{database}", options.get_username(), options.get_host(), options.get_port())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(server) => write!(f, "{server}"),
        }
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
