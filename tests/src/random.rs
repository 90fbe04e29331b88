//! Random rules, assessments and facts over a small vocabulary, so that they often meet.

use std::{collections::BTreeMap, sync::Arc};

use amend_domain::{
    AccountId, Action, Assessment, AssessmentId, Cloud, Facts, Recommendation, RecommendationKey, Resource, ResourceId,
    Risk, RiskLevel, Rule, RuleId, ScopeId, Severity, Source, Status, StatusCode, Tags, TenantId, Timeframe,
    expr::Program,
    facts::Known,
    pattern::Pattern,
    rule::{Condition, DueFrom, FixPolicy, FixWhen, Mode, OwnerSource, RiskAbsent, Scope, Set, TagOn, TagTest},
};
use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, sample::select};

const EXPRESSIONS: &[&str] = &[
    "severity == 'high'",
    "severity == 'HIGH' && region == 'eu'",
    "risk == 'critical'",
    "risk in ['critical', 'high'] && cloud == 'aws'",
    "tags.env == 'prod'",
    "tags.env == 'prod' || severity == 'low'",
    "tags.env != 'prod' && type == 'microsoft.storage/storageaccounts'",
    "cloud in ['aws', 'gcp'] && tags.env != 'dev'",
    "has(tags.env)",
    "'env' in tags",
    "!('env' in tags)",
    "age_days > 3",
    "risk_factors.exists(f, f == 'internet')",
    "risk_factors.all(f, f.startsWith('int'))",
    "account_tags.tier == 'gold' && category == 'softwareupdate'",
    "ancestors.exists(a, a == 'aws:o-a')",
    "size(ancestors) > 1",
    "key == 'defender:00000000-0000-0000-0000-000000000001'",
    "key == 'defender:00000000-0000-0000-0000-000000000002' && tags.env == 'prod'",
    "region.startsWith('eu')",
    "region != null && region.startsWith('eu')",
    "name.matches('^[ab]')",
    "tags.env == 'prod' ? severity == 'high' : false",
    "!(tags.env == 'prod')",
    "group == null",
    "group_tags.env == 'prod' || tags.env == 'prod'",
    "region == null || region == 'us'",
    "account == 'aws:111111111111'",
    "tags.env == 'prod' && group_tags.env == 'prod' && severity == 'high'",
    "areas.exists(a, a == 'data') || source == 'scc'",
];

fn levels<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    vec(select(all), 1..3)
}

fn key() -> impl Strategy<Value = RecommendationKey> {
    select(vec![
        "00000000-0000-0000-0000-000000000001",
        "00000000-0000-0000-0000-000000000002",
        "category:softwareupdate",
        "securityhub:s3.8",
        "scc:public_bucket_acl",
    ])
    .prop_map(|text| RecommendationKey::parse(text).expect("a key"))
}

fn patterns(of: &'static [&'static str]) -> impl Strategy<Value = Vec<Pattern>> {
    vec(select(of).prop_map(Pattern::new), 1..3)
}

fn plain_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        levels(Severity::ALL).prop_map(Condition::Severity),
        (levels(RiskLevel::ALL), any::<bool>()).prop_map(|(levels, fallback)| Condition::Risk {
            levels,
            when_absent: if fallback { RiskAbsent::Severity } else { RiskAbsent::Unknown },
        }),
        patterns(&["internet", "int*", "sensitive"]).prop_map(Condition::RiskFactor),
        vec(key(), 1..3).prop_map(|mut keys| {
            keys.sort();
            Condition::Key(keys)
        }),
        patterns(&["a*", "*public*", "a thing"]).prop_map(Condition::Title),
        patterns(&["softwareupdate", "data", "*"]).prop_map(Condition::Category),
        levels(&Cloud::ALL).prop_map(Condition::Cloud),
        patterns(&["microsoft.storage/storageaccounts", "microsoft.storage/*", "s3.bucket"]).prop_map(Condition::Type),
        patterns(&["eu", "us", "e*"]).prop_map(Condition::Region),
        levels(&[Source::Defender, Source::Scc]).prop_map(Condition::Source),
        (
            select(vec![TagOn::Resource, TagOn::Group, TagOn::Account]),
            select(vec!["env", "tier"]),
            prop_oneof![
                patterns(&["prod", "d*", "gold"]).prop_map(TagTest::In),
                any::<bool>().prop_map(TagTest::Present),
            ]
        )
            .prop_map(|(on, key, test)| Condition::Tag { on, key: key.into(), test }),
        (option::of(0_u32..6), option::of(3_u32..9)).prop_map(|(least, most)| Condition::Age {
            at_least: least.and_then(Timeframe::days),
            at_most: most.and_then(Timeframe::days),
        }),
        select(EXPRESSIONS).prop_map(|text| Condition::Expr(Program::compile(text).expect(text))),
        Just(Condition::NotEvaluable("$.Foo Equals bar".into())),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    (plain_condition(), proptest::bool::weighted(0.15))
        .prop_map(|(condition, not)| if not { Condition::Not(Box::new(condition)) } else { condition })
}

const MANAGEMENT: &[&str] = &[
    "/providers/microsoft.management/managementgroups/root",
    "/providers/microsoft.management/managementgroups/prod",
    "aws:o-a",
    "aws:ou-a-1",
    "gcp:folders/9",
];
const SINGLE: &[&str] = &[
    "/subscriptions/s1",
    "/subscriptions/s1/resourcegroups/g1",
    "/subscriptions/s2",
    "aws:111111111111",
    "gcp:projects/123",
    "gcp:projects/named",
    "/subscriptions/s1/resourcegroups/c/providers/microsoft.security/securityconnectors/aws-prod",
];

fn scopes(of: &'static [&'static str], size: std::ops::Range<usize>) -> impl Strategy<Value = Vec<ScopeId>> {
    vec(select(of).prop_map(|text| ScopeId::parse(text).expect(text)), size)
}

fn scope() -> impl Strategy<Value = Scope> {
    let within = prop_oneof![
        2 => Just(Vec::new()),
        2 => scopes(MANAGEMENT, 1..3),
        2 => scopes(SINGLE, 1..3),
    ];
    let except = prop_oneof![4 => Just(Vec::new()), 1 => scopes(MANAGEMENT, 1..2), 1 => scopes(SINGLE, 1..2)];
    (within, except).prop_map(|(within, except)| Scope { within, except })
}

/// An expression, or several joined.
pub fn program() -> impl Strategy<Value = Program> {
    vec(select(EXPRESSIONS), 1..4).prop_map(|parts| {
        let text = parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && ");
        Program::compile(&text).expect("an expression")
    })
}

/// A rule, but for its id.
pub fn rule() -> impl Strategy<Value = Rule> {
    let fix = option::of(select(vec![Mode::Observe, Mode::Approve, Mode::Enforce]).prop_map(|mode| FixPolicy {
        mode,
        when: FixWhen::Now,
        announce: None,
    }));
    let sets = vec(vec(condition(), 0..4).prop_map(Set), 0..3);
    (scope(), sets, 0_u32..3, fix, any::<bool>(), proptest::bool::weighted(0.95), any::<bool>()).prop_map(
        |(scope, when, priority, fix, ticket, enabled, notify)| Rule {
            id: RuleId::parse("r").expect("an id"),
            name: "r".into(),
            enabled,
            priority,
            scope,
            when,
            owner: OwnerSource { manual: None, tag: Some("owner".into()), fallback: None },
            due: Timeframe::days(14),
            due_from: DueFrom::Identified,
            grace: None,
            fix,
            ticket,
            notify: if notify { vec!["#x".into()] } else { Vec::new() },
            defender: None,
        },
    )
}

/// Rules with ids of their own.
pub fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(), 0..14).prop_map(|mut rules| {
        for (at, rule) in rules.iter_mut().enumerate() {
            rule.id = RuleId::parse(&format!("r{at:02}")).expect("an id");
        }
        rules
    })
}

/// Resources that lie in the scopes above, or nearly.
fn resource() -> impl Strategy<Value = Resource> {
    let azure = select(vec![
        "/subscriptions/s1/resourcegroups/g1/providers/microsoft.storage/storageaccounts/x",
        "/subscriptions/s1/resourcegroups/g2/providers/microsoft.storage/storageaccounts/x",
        "/subscriptions/s2",
    ])
    .prop_map(|id| (Cloud::Azure, id, AccountId::azure(id), None));
    let connector = "/subscriptions/s1/resourcegroups/c/providers/microsoft.security/securityconnectors/aws-prod";
    let aws = (select(vec!["arn:aws:s3:::b", "arn:aws:ec2:eu:222222222222:instance/i"]), any::<bool>(), any::<bool>())
        .prop_map(move |(id, account, seen)| {
            (Cloud::Aws, id, account.then(|| AccountId::aws("111111111111")).flatten(), seen.then_some(connector))
        });
    let gcp = select(vec!["123", "456", "named", "other", ""])
        .prop_map(|project| (Cloud::Gcp, "//storage.googleapis.com/b", AccountId::gcp(project), None));
    let other = Just((Cloud::Other, "machine-7", None, None));
    let place = prop_oneof![4 => azure, 3 => aws, 3 => gcp, 1 => other];
    let kind = option::of(select(vec!["microsoft.storage/storageaccounts", "s3.bucket", "other"]));
    (place, kind, option::of(select(vec!["eu", "us"]))).prop_map(|((cloud, id, account, connector), kind, region)| {
        Resource {
            id: ResourceId::new(id),
            cloud,
            kind: kind.map(Into::into),
            name: "x".into(),
            account,
            region: region.map(Into::into),
            connector: connector.map(Into::into),
        }
    })
}

/// The moment of all random assessments.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).expect("a time")
}

/// An unhealthy assessment.
pub fn assessment() -> impl Strategy<Value = Assessment> {
    let recommendation = (
        key(),
        select(vec!["A thing", "A public thing", "b"]),
        option::of(select(vec!["softwareupdate", "exposedsecrets"])),
        vec(select(vec!["data", "compute"]), 0..2),
    );
    let risk = option::of((select(RiskLevel::ALL), vec(select(vec!["internet", "sensitive"]), 0..3)));
    let source = select(vec![Source::Defender, Source::Scc, Source::SecurityHub]);
    (recommendation, resource(), option::of(select(Severity::ALL)), risk, source, option::of(0_i64..10)).prop_map(
        |((key, title, category, areas), resource, severity, risk, source, age)| {
            let changed = age.map(|days| Timestamp::from_second(now().as_second() - days * 86_400).expect("a time"));
            Assessment {
                tenant: TenantId::new("t"),
                source,
                id: AssessmentId::new("a"),
                recommendation: Recommendation {
                    key,
                    title: title.into(),
                    category: category.map(Into::into),
                    areas: areas.into_iter().map(Into::into).collect(),
                    policy: None,
                    remediation: None,
                },
                resource,
                status: Status { code: StatusCode::Unhealthy, cause: None, changed, first_evaluated: None },
                severity,
                risk: risk.map(|(level, factors)| Risk {
                    level,
                    factors: factors.into_iter().map(Into::into).collect(),
                    attack_paths: 0,
                }),
                action: Action::Report,
                snapshot: false,
                sent: None,
                link: None,
                details: None,
            }
        },
    )
}

fn known<T>(value: T) -> Arc<Known<T>> {
    Arc::new(Known { value, source: "random".into(), read: now() })
}

fn tags() -> impl Strategy<Value = Tags> {
    vec((select(vec!["env", "tier", "owner"]), select(vec!["prod", "dev", "gold"])), 0..3).prop_map(|pairs| {
        Tags(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>())
    })
}

/// Facts, each known or not.
pub fn facts() -> impl Strategy<Value = Facts> {
    let ancestors = select(vec![
        vec![],
        vec![
            "/providers/microsoft.management/managementgroups/root",
            "/providers/microsoft.management/managementgroups/prod",
        ],
        vec!["aws:o-a", "aws:ou-a-1"],
        vec!["gcp:folders/9"],
    ])
    .prop_map(|list| list.into_iter().map(|text| ScopeId::parse(text).expect(text)).collect::<Vec<_>>());
    (
        option::weighted(0.8, ancestors),
        option::weighted(0.8, tags()),
        option::weighted(0.8, tags()),
        option::weighted(0.8, tags()),
    )
        .prop_map(|(ancestors, tags, group_tags, account_tags)| Facts {
            now: now(),
            ancestors: ancestors.map(known),
            tags: tags.map(known),
            group_tags: group_tags.map(known),
            account_tags: account_tags.map(known),
            account_name: None,
            unread: Vec::new(),
        })
}
