//! Events through the whole pipeline with fixes that only observe: from the bytes of a delivery to its
//! committed records and its work in the queue. Beside it, in the same round, a bare insert of the same rows
//! in transactions of the same size, on the same database with the same durability.
//!
//! What a figure means: a round has a new store for each of the two; a ratio is of the two in one round, and
//! the median over rounds is shown. Planning asks a cloud, and is not in it.

use std::{
    hint::black_box,
    sync::{Arc, Mutex},
    time::Instant,
};

use amend_catalog::SourceText;
use amend_domain::{TenantId, thing::Reads};
use amend_events::{Form, Limits};
use amend_pipeline::{Decider, Delivery, decider::Parts};
use amend_store::Place;
use amend_tests::{
    harness::{Bench, Export, StillClock, TENANT, bench_in, catalogue},
    places::{Fresh, Kind, url},
};
use sqlx::{AssertSqlSafe, Connection, Row};

const ROUNDS: usize = 5;
const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, when: { severity: [high, medium] }, owner: a@example.org, due: 7d, fix: observe }]";

/// Deliveries of `size` events each: every event is about a resource of its own.
fn deliveries(count: usize, size: usize) -> Vec<String> {
    let texts: Vec<String> = (0..count)
        .map(|n| {
            let resource = format!(
                "/subscriptions/{:08}-0000-4000-8000-000000000000/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st{n}",
                n % 50
            );
            let key = "1c5de8e1-f68d-6a17-e0d2-ec259c42768c".into();
            Export { resource, key, ..Export::default() }.text()
        })
        .collect();
    texts.chunks(size).map(|chunk| format!("[{}]", chunk.join(","))).collect()
}

async fn accept(bench: &Bench, body: &str) {
    let delivery = Delivery { form: Form::EventHubs, body: body.as_bytes(), attributes: &[], snapshot: false };
    black_box(bench.pipeline.accept(delivery).await.expect("accepted"));
}

/// The tables that an event leaves a row in, and their columns: of text, or of numbers.
const TABLES: [(&str, &[(&str, bool)]); 5] = [
    (
        "assessments",
        &[
            ("tenant", true),
            ("id", true),
            ("problem", true),
            ("micros", false),
            ("rank", false),
            ("version", true),
            ("received", false),
            ("body", true),
        ],
    ),
    ("versions", &[("tenant", true), ("assessment", true), ("version", true), ("received", false)]),
    (
        "problems",
        &[
            ("tenant", true),
            ("id", true),
            ("resource", true),
            ("account", true),
            ("open", false),
            ("backlog", false),
            ("risk", false),
            ("severity", false),
            ("opened", false),
            ("due", false),
            ("rule", true),
            ("undetermined", false),
            ("body", true),
            ("setting", true),
        ],
    ),
    (
        "decisions",
        &[("tenant", true), ("assessment", true), ("problem", true), ("at", false), ("version", true), ("body", true)],
    ),
    (
        "work",
        &[
            ("key", true),
            ("kind", true),
            ("subject", true),
            ("rank", false),
            ("due", false),
            ("attempts", false),
            ("until", false),
            ("fence", false),
        ],
    ),
];

/// A value of a row.
enum Cell {
    Text(Option<String>),
    Number(Option<i64>),
}

/// A database without anything around it.
enum Bare {
    Sqlite(Box<sqlx::SqliteConnection>),
    Postgres(Box<sqlx::PgConnection>),
}

/// The same code for both drivers, whose types have nothing in common.
macro_rules! on_either {
    ($bare:expr, $connection:ident => $body:expr) => {
        match $bare {
            Bare::Sqlite($connection) => $body,
            Bare::Postgres($connection) => $body,
        }
    };
}

impl Bare {
    async fn open(fresh: &Fresh) -> Self {
        match &fresh.place {
            Place::File(path) => {
                // As the store opens it.
                let options = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                    .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
                Self::Sqlite(Box::new(sqlx::SqliteConnection::connect_with(&options).await.expect("a connection")))
            }
            Place::Server(_) => {
                let url = url(&fresh.database(), None);
                Self::Postgres(Box::new(sqlx::PgConnection::connect(&url).await.expect("a connection")))
            }
        }
    }

    /// All rows of the tables.
    async fn rows(&mut self) -> Vec<Vec<Vec<Cell>>> {
        let mut all = Vec::new();
        for (table, columns) in TABLES {
            let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let statement = AssertSqlSafe(format!("SELECT {} FROM {table}", names.join(", ")));
            all.push(on_either!(self, connection => {
                let rows = sqlx::query(statement).fetch_all(&mut **connection).await.expect("rows");
                rows.iter().map(|row| {
                    let cell = |(at, (_, text)): (usize, &(&str, bool))| {
                        if *text { Cell::Text(row.get(at)) } else { Cell::Number(row.get(at)) }
                    };
                    columns.iter().enumerate().map(cell).collect::<Vec<Cell>>()
                }).collect::<Vec<_>>()
            }));
        }
        all
    }

    /// Inserts rows in transactions of `size` rows a table, in statements of 64 rows.
    async fn insert(&mut self, all: &[Vec<Vec<Cell>>], size: usize) {
        let count = all[0].len();
        for start in (0..count).step_by(size) {
            on_either!(self, connection => {
                let mut transaction = connection.begin().await.expect("begun");
                for ((table, columns), rows) in TABLES.iter().zip(all) {
                    for rows in rows[start..(start + size).min(count)].chunks(64) {
                        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
                        let places: Vec<String> = (0..rows.len())
                            .map(|row| {
                                let places: Vec<String> = (1..=columns.len()).map(|at| format!("${}", row * columns.len() + at)).collect();
                                format!("({})", places.join(", "))
                            })
                            .collect();
                        let statement = format!("INSERT INTO {table} ({}) VALUES {}", names.join(", "), places.join(", "));
                        let mut query = sqlx::query(AssertSqlSafe(statement));
                        for cell in rows.iter().flatten() {
                            query = match cell {
                                Cell::Text(text) => query.bind(text.as_deref()),
                                Cell::Number(number) => query.bind(*number),
                            };
                        }
                        query.execute(&mut *transaction).await.expect("inserted");
                    }
                }
                transaction.commit().await.expect("committed");
            });
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Reading and deciding alone, per event in microseconds.
fn reading_and_deciding(deliveries: &[String], count: usize) -> f64 {
    let parts = Parts {
        rule_files: vec![SourceText::new("rules.yaml", RULES)],
        facts: amend_catalog::facts_file::FactsFile::default(),
        owners: Arc::default(),
        clock: StillClock::at("2026-11-20T12:00:00Z"),
        catalogue: catalogue(),
        tenant: TenantId::new(TENANT),
        truths: Vec::new(),
        limits: Limits::default(),
    };
    let (decider, _) = Decider::new(parts).expect("rules");
    let started = Instant::now();
    for body in deliveries {
        let items = decider.read(Form::EventHubs, body.as_bytes(), &[], false, &Limits::default()).expect("read");
        for item in items {
            if let amend_events::Item::Assessment(assessment) = item {
                black_box(decider.decide(*assessment, &Reads::default()));
            }
        }
    }
    started.elapsed().as_secs_f64() * 1e6 / count as f64
}

async fn measure(kind: Kind, count: usize, size: usize) {
    let deliveries = deliveries(count, size);
    let (mut pipeline, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bench = bench_in(Fresh::new(kind).await, RULES, "version: 1").await;
        let started = Instant::now();
        for body in &deliveries {
            accept(&bench, body).await;
        }
        let ours = started.elapsed().as_secs_f64();
        let rows = Bare::open(&bench.fresh).await.rows().await;
        assert!(rows.iter().all(|table| table.len() == count), "an event leaves a row in each table");
        let fresh = Fresh::new(kind).await;
        // The tables are made by opening it.
        fresh.open().await.close().await;
        let mut connection = Bare::open(&fresh).await;
        let started = Instant::now();
        connection.insert(&rows, size).await;
        let theirs = started.elapsed().as_secs_f64();
        pipeline.push(ours);
        bare.push(theirs);
        ratios.push(ours / theirs);
    }
    let per = |times: &[f64]| median(times) * 1e6 / count as f64;
    println!(
        "{:<12}{:>8}{:>14.0}{:>14.0}{:>10.2}{:>12.0}{:>16.1}",
        if kind == Kind::Sqlite { "SQLite" } else { "PostgreSQL" },
        size,
        per(&pipeline),
        per(&bare),
        median(&ratios),
        1e6 / per(&pipeline),
        reading_and_deciding(&deliveries, count),
    );
}

/// Several workers at once, on PostgreSQL.
async fn workers(count: usize, size: usize, workers: usize) {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let bench = Arc::new(bench_in(Fresh::new(Kind::Postgres).await, RULES, "version: 1").await);
        let deliveries = Arc::new(Mutex::new(deliveries(count, size)));
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (bench, deliveries) = (Arc::clone(&bench), Arc::clone(&deliveries));
            tasks.spawn(async move {
                loop {
                    let next = deliveries.lock().expect("nobody panics").pop();
                    let Some(body) = next else { break };
                    accept(&bench, &body).await;
                }
            });
        }
        tasks.join_all().await;
        rates.push(count as f64 / started.elapsed().as_secs_f64());
    }
    println!("PostgreSQL, {workers} workers, deliveries of {size}: {:.0} events/s", median(&rates));
}

#[tokio::main]
async fn main() {
    println!("events of {} bytes; each leaves a row in {} tables\n", Export::default().text().len(), TABLES.len());
    println!(
        "{:<12}{:>8}{:>14}{:>14}{:>10}{:>12}{:>16}",
        "store", "batch", "pipeline µs", "insert µs", "ratio", "events/s", "read, decide µs"
    );
    for kind in [Kind::Sqlite, Kind::Postgres] {
        for (count, size) in [(300, 1), (2_000, 20), (8_000, 200)] {
            measure(kind, count, size).await;
        }
    }
    println!();
    workers(2_000, 1, 8).await;
    workers(16_000, 200, 2).await;
}
