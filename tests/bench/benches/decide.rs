//! The decision path, measured: everything side by side in one run, on one thread, as ratios.
//!
//! A figure is the median over rounds; a round runs every variant once, so that a slow moment of the
//! machine hits all of them. `make bench` runs it in a release build.

use std::{
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use amend_catalog::{SourceText, rule_file};
use amend_domain::{Facts, RuleSet, ScopeId, TenantId, Verdict, explain, facts::Known};
use amend_events::{Context, defender};
use std::sync::Arc;

const EVENTS: usize = 64;
const ROUNDS: usize = 41;

/// The key of recommendation `n`.
fn key(n: usize) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// A Defender record with everything that continuous export writes, about 2 KB.
fn body(n: usize) -> String {
    let (key, account) = (key(n), format!("{n:08x}-1111-4111-8111-111111111111"));
    let severity = ["High", "Medium", "Low", "High"][n % 4];
    let risk = ["Critical", "High", "Medium", "Low"][n / 4 % 4];
    let resource = format!(
        "/subscriptions/{account}/resourceGroups/rg-payments/providers/Microsoft.Storage/storageAccounts/stpay{n}"
    );
    format!(
        r#"{{"assessmentEventDataEnrichment":{{"action":"Insert","apiVersion":"2019-01-01","isSnapshot":false}},"securityEventDataEnrichment":{{"action":"Insert","apiVersion":"2019-01-01","isSnapshot":false}},"tenantId":"6c1d4b1e-5a0f-4f0e-9a57-1f2e3d4c5b60","type":"Microsoft.Security/assessments","kind":null,"location":null,"id":"{resource}/providers/Microsoft.Security/assessments/{key}","name":"{key}","tags":null,"properties":{{"resourceDetails":{{"source":"Azure","id":"{resource}","resourceName":"stpay{n}","resourceType":"storageAccounts","resourceProvider":"Microsoft.Storage","nativeResourceId":"{resource}"}},"displayName":"Storage accounts should refuse what is not encrypted","status":{{"code":"Unhealthy","cause":"","description":"","statusChangeDate":"2026-11-18T07:41:09.1234567Z","firstEvaluationDate":"2026-10-02T21:10:44.7654321Z"}},"additionalData":{{"checked settings":["a","b"],"details":{{"count":3}}}},"metadata":{{"displayName":"Storage accounts should refuse what is not encrypted","assessmentType":"BuiltIn","policyDefinitionId":"/providers/Microsoft.Authorization/policyDefinitions/4fa4b6c0-31ca-4c0d-b10d-24b96f62a751","description":"Requests that are not encrypted can be read on their way. This setting makes the account refuse them.","remediationDescription":"1. Open the storage account.<br>2. Choose configuration.<br>3. Require secure transfer.<br>4. Save.","categories":["Data"],"severity":"{severity}","userImpact":"Low","implementationEffort":"Low","threats":["DataExfiltration","DataSpillage"]}},"links":{{"azurePortal":"portal.azure.com/#blade/Microsoft_Azure_Security/RecommendationsBlade/assessmentKey/{key}"}},"risk":{{"level":"{risk}","riskFactors":["Exposure to the internet","Sensitive data"],"attackPathsReferences":[],"isContextualRisk":true}}}}}}"#
    )
}

/// A rule file of `count` rules: 7 in 10 on severity, risk, key, category and scope; 3 in 10 with an
/// expression, of which 9 in 10 have a term that the index can use. None governs, so that the walk never
/// ends early: every candidate is asked.
fn rule_text(count: usize) -> String {
    // About three rules speak of each recommendation and of each account, whatever the size.
    let pool = (count / 3).max(EVENTS);
    let mut text = String::from("version: 1\nrules:\n");
    for n in 0..count {
        let about = n * 7 % pool;
        let (key, account) = (key(about), format!("/subscriptions/{about:08x}-1111-4111-8111-111111111111"));
        let (scope, when) = match n % 10 {
            0 => (String::new(), format!("{{ severity: low, risk: low, key: {key}, category: Compute }}")),
            1 => (account, "{ severity: medium, risk: critical, cloud: aws }".to_owned()),
            2 => (String::new(), format!("{{ key: [{key}, {}], cloud: gcp }}", self::key(about + 1))),
            3 => (account, "{ category: [Networking, SoftwareUpdate] }".to_owned()),
            4 => (account, "{ severity: [critical], risk: [low] }".to_owned()),
            5 => (String::new(), format!("{{ key: {key}, severity: critical }}")),
            6 => (account, "{ type: microsoft.compute/*, severity: [high, medium] }".to_owned()),
            7 => (
                String::new(),
                format!("{{ expr: \"key == 'defender:{key}' && tags.env == 'test' && severity == 'high'\" }}"),
            ),
            8 => (String::new(), format!("{{ expr: \"account in ['{account}'] && age_days > 400\" }}")),
            _ if n % 100 == 9 => (account, "{ expr: \"tags.env == 'test' || tags.team == 'none'\" }".to_owned()),
            _ => (
                String::new(),
                format!("{{ expr: \"key == 'defender:{key}' && risk_factors.exists(f, f == 'none')\" }}"),
            ),
        };
        let scope = if scope.is_empty() { String::new() } else { format!(", scope: {{ in: {scope} }}") };
        writeln!(
            text,
            "  - {{ id: r{n}, priority: {n}{scope}, when: [{when}], owner: {{ tag: owner }}, due: 14d, fix: observe }}"
        )
        .expect("text");
    }
    text
}

/// Rules of which no term is in any event: each is asked every time.
fn unindexed_text(count: usize) -> String {
    let mut text = String::from("version: 1\nrules:\n");
    for n in 0..count {
        writeln!(
            text,
            "  - {{ id: r{n}, priority: {n}, when: [{{ expr: \"tags.team.startsWith('team-{n}-')\" }}], due: 14d }}"
        )
        .expect("text");
    }
    text
}

fn load(text: &str) -> RuleSet {
    rule_file::load(&[SourceText::new("bench.yaml", text)]).unwrap_or_else(|mistakes| panic!("{mistakes}")).0.rules
}

fn facts() -> Facts {
    let now = "2026-11-20T12:00:00Z".parse().expect("a time");
    let scopes = ["root", "prod"].map(|name| {
        ScopeId::parse(&format!("/providers/Microsoft.Management/managementGroups/{name}")).expect("a scope")
    });
    let known = |pairs: &[(&str, &str)]| {
        let tags = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Some(Arc::new(Known { value: amend_domain::Tags(tags), source: "bench".into(), read: now }))
    };
    Facts {
        ancestors: Some(Arc::new(Known { value: scopes.to_vec(), source: "bench".into(), read: now })),
        tags: known(&[("env", "prod"), ("owner", "a@example.org"), ("team", "payments")]),
        group_tags: known(&[("env", "prod")]),
        account_tags: known(&[("env", "prod")]),
        ..Facts::none(now)
    }
}

struct Variant<'a> {
    name: String,
    run: Box<dyn FnMut() + 'a>,
    /// Time for one event, round by round.
    rounds: Vec<Duration>,
}

fn variant<'a>(name: impl Into<String>, run: impl FnMut() + 'a) -> Variant<'a> {
    Variant { name: name.into(), run: Box::new(run), rounds: Vec::new() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let bodies: Vec<String> = (0..EVENTS).map(body).collect();
    let bodies = &bodies;
    let context = Context::new(TenantId::new("t"));
    let context = &context;
    let facts = facts();
    let facts = &facts;
    let normalised = |body: &str| {
        let record = defender::parse(body).expect("JSON");
        defender::normalise(&record, context).expect("an assessment")
    };
    let sets: Vec<(usize, RuleSet)> = [10, 1_000, 10_000].map(|count| (count, load(&rule_text(count)))).into();
    let worst = load(&unindexed_text(1_000));

    println!(
        "events: {EVENTS} Defender records of {} bytes on average",
        bodies.iter().map(String::len).sum::<usize>() / EVENTS
    );
    for (count, set) in &sets {
        let assessments: Vec<_> = bodies.iter().map(|body| normalised(body)).collect();
        for assessment in &assessments {
            assert_eq!(set.decide(assessment, facts), Verdict::Ungoverned);
            assert_eq!(set.decide(assessment, facts), explain::decide_naively(set, assessment, facts));
        }
        println!("{count} rules: {} that no term finds", set.unindexed());
    }

    let mut variants = vec![
        variant("(a) parse", || {
            for body in bodies {
                black_box(defender::parse(black_box(body)).expect("JSON"));
            }
        }),
        variant("(b) parse + normalise", || {
            for body in bodies {
                black_box(normalised(black_box(body)));
            }
        }),
    ];
    for (count, set) in &sets {
        variants.push(variant(format!("(c) parse + normalise + decide, {count} rules"), move || {
            for body in bodies {
                let assessment = normalised(black_box(body));
                black_box(set.decide(&assessment, facts));
            }
        }));
    }
    variants.push(variant("(d) the same, 1000 rules without index terms", || {
        for body in bodies {
            let assessment = normalised(black_box(body));
            black_box(worst.decide(&assessment, facts));
        }
    }));
    let thousand = &sets[1].1;
    variants.push(variant("    the same, 1000 rules, every rule asked (explain)", || {
        for body in bodies {
            let assessment = normalised(black_box(body));
            black_box(explain::decide_naively(thousand, &assessment, facts));
        }
    }));

    for round in 0..=ROUNDS {
        for variant in &mut variants {
            let repeats = if variant.name.contains("(d)") || variant.name.contains("explain") { 1 } else { 20 };
            let started = Instant::now();
            for _ in 0..repeats {
                (variant.run)();
            }
            let each = started.elapsed() / u32::try_from(repeats * EVENTS).expect("few");
            // The first round warms up.
            if round > 0 {
                variant.rounds.push(each);
            }
        }
    }
    let micros = |variant: &Variant<'_>| variant.rounds.iter().map(|d| d.as_secs_f64() * 1e6).collect::<Vec<_>>();
    let base = micros(&variants[0]);
    println!("\n{:<55}{:>12}{:>12}", "per event, median of rounds", "µs", "x (a)");
    for variant in &variants {
        let times = micros(variant);
        let ratios = times.iter().zip(&base).map(|(time, base)| time / base).collect();
        println!("{:<55}{:>12.2}{:>12.2}", variant.name, median(times), median(ratios));
    }
    let ratio = |one: usize, other: usize| {
        median(micros(&variants[one]).iter().zip(micros(&variants[other])).map(|(a, b)| a / b).collect())
    };
    println!("\n(c) at 1,000 rules / (a):              {:.2}  (aim: at most 2)", ratio(3, 0));
    println!("(c) at 10,000 rules / (c) at 10 rules:  {:.2}  (aim: at most 1.3)", ratio(4, 2));

    println!("\n(e) load, YAML to index");
    for count in [1_000, 10_000] {
        let text = rule_text(count);
        let times = (0..5).map(|_| {
            let started = Instant::now();
            black_box(load(&text));
            started.elapsed().as_secs_f64() * 1e3
        });
        println!("{count:>7} rules, {:>5} KiB: {:>8.1} ms", text.len() / 1024, median(times.collect()));
    }
}
