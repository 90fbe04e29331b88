//! As a tenant delivers: duplicates, out of order, some unreadable, to eight workers on PostgreSQL. What is
//! known in the end is what a single worker knows who is told everything once and in order.

use std::{collections::BTreeMap, sync::Arc};

use amend_domain::{
    Problem,
    assessment::Version,
    problem::{FindingState, State},
};
use amend_events::Form;
use amend_pipeline::{Delivery, accept::Counts};
use amend_store::{Filter, Store as _};
use amend_tests::{
    harness::{Bench, Export, bench_in, long},
    places::{Fresh, Kind},
};
use tokio::task::JoinSet;

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, when: { severity: [high, medium] }, owner: a@example.org, due: 7d, fix: enforce }]";

/// Numbers without order, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // The generator of Knuth's MMIX; its high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// What is reported: times go up with the number.
fn event(random: &mut Random, n: usize, resources: usize) -> Export {
    let resource = random.below(resources);
    let minutes = 1_000 + n;
    Export {
        // Seven subscriptions, so that all write about each of them.
        resource: format!(
            "/subscriptions/{:08}-0000-4000-8000-000000000000/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st{resource}",
            resource % 7
        ),
        // Two kinds of one setting, and one of another.
        key: ["1c5de8e1-f68d-6a17-e0d2-ec259c42768c", "51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6"][random.below(2)].into(),
        code: if random.below(3) == 0 { "Healthy" } else { "Unhealthy" }.into(),
        severity: ["High", "Medium", "Low"][resource % 3].into(),
        changed: Some(format!(
            "2026-{:02}-{:02}T{:02}:{:02}:00Z",
            1 + minutes / 40_320,
            1 + minutes / 1_440 % 28,
            minutes / 60 % 24,
            minutes % 60
        )),
        snapshot: false,
        ..Export::default()
    }
}

/// What the last word on everything is: of each assessment, and of each problem that is open.
#[derive(Debug, PartialEq)]
struct End {
    assessments: BTreeMap<String, (Version, String)>,
    open: BTreeMap<String, (State, Vec<String>, Option<String>)>,
    queue: Vec<String>,
    unreadable: Vec<String>,
}

async fn end_of(bench: &Bench) -> End {
    let all = u32::MAX;
    let assessments = bench.store.assessments(all).await.expect("listed").into_iter();
    let open = bench.store.problems(&Filter { open: Some(true), ..Filter::default() }).await.expect("listed");
    let unhealthy = |problem: &Problem| {
        let open = problem.findings.iter().filter(|(_, finding)| finding.state == FindingState::Unhealthy);
        open.map(|(id, finding)| format!("{id} {:?}", finding.since)).collect::<Vec<_>>()
    };
    let rule = |problem: &Problem| problem.decision.rule.as_ref().map(ToString::to_string);
    let mut queue: Vec<_> = bench.store.work(all).await.expect("listed").into_iter().map(|work| work.key).collect();
    queue.sort();
    let mut unreadable: Vec<_> =
        bench.store.parked(false, all).await.expect("listed").into_iter().map(|parked| parked.raw).collect();
    unreadable.sort();
    End {
        assessments: assessments
            .map(|one| (one.id.to_string(), (one.version(), one.status.code.as_str().to_owned())))
            .collect(),
        open: open.iter().map(|p| (p.id.to_string(), (p.state, unhealthy(p), rule(p)))).collect(),
        queue,
        unreadable,
    }
}

async fn deliver(bench: &Bench, body: &str) -> Counts {
    let delivery = Delivery { form: Form::EventHubs, body: body.as_bytes(), attributes: &[], snapshot: false };
    bench.pipeline.accept(delivery).await.expect("accepted").counts()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_workers_end_where_one_does() {
    let count = if long() { 50_000 } else { 2_000 };
    let mut random = Random(2_026);
    let mut told: Vec<String> = Vec::with_capacity(count);
    let mut in_order: Vec<String> = Vec::with_capacity(count);
    for n in 0..count {
        let text = match n % 20 {
            7 => format!("{{\"properties\":{{\"status\":{n}}},\"type\":\"Microsoft.Security/assessments\"}}"),
            _ => event(&mut random, n, count / 8).text(),
        };
        told.push(text.clone());
        in_order.push(text);
    }
    // One in ten comes twice, the second time whenever; one in ten comes late or early.
    for n in 0..count / 10 {
        let twice = told[(n * 10 + 3) % count].clone();
        told.insert(random.below(told.len()), twice);
    }
    for _ in 0..count / 20 {
        let (a, b) = (random.below(told.len()), random.below(told.len()));
        told.swap(a, b);
    }

    let reference = bench_in(Fresh::new(Kind::Sqlite).await, RULES, "version: 1").await;
    let mut counts = Counts::default();
    for chunk in in_order.chunks(200) {
        counts = counts.plus(deliver(&reference, &format!("[{}]", chunk.join(","))).await);
    }
    assert_eq!((counts.duplicate, counts.stale, counts.unreadable), (0, 0, count / 20));

    let bench = Arc::new(bench_in(Fresh::new(Kind::Postgres).await, RULES, "version: 1").await);
    // Deliveries of one to forty events; each worker takes the next one.
    let mut deliveries = Vec::new();
    let mut rest = told.as_slice();
    while !rest.is_empty() {
        let (some, after) = rest.split_at((1 + random.below(40)).min(rest.len()));
        deliveries.push(format!("[{}]", some.join(",")));
        rest = after;
    }
    deliveries.reverse();
    let deliveries = Arc::new(std::sync::Mutex::new(deliveries));
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let (bench, deliveries) = (Arc::clone(&bench), Arc::clone(&deliveries));
        workers.spawn(async move {
            let mut counts = Counts::default();
            loop {
                let next = deliveries.lock().expect("nobody panics").pop();
                let Some(body) = next else { return counts };
                counts = counts.plus(deliver(&bench, &body).await);
            }
        });
    }
    let counts = workers.join_all().await.into_iter().fold(Counts::default(), Counts::plus);
    let reports = told.len() - told.iter().filter(|text| text.starts_with("{\"properties\":{\"status\":")).count();
    assert_eq!(counts.new + counts.updated + counts.stale + counts.duplicate, reports);
    assert!(counts.stale > 0 && counts.duplicate > 0, "{counts:?}");
    let (expected, found) = (end_of(&reference).await, end_of(&bench).await);
    assert_eq!(found.assessments.len(), counts.new, "each is new once");
    assert_eq!(found, expected);
    assert!(found.queue.len() > count / 100 && found.open.len() > found.queue.len(), "something is open");
}
