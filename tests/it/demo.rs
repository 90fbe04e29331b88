//! The bundled notifications: what they become, and that delivering them again changes nothing.

use amend_catalog::{SourceText, mistakes::Collector, yaml};
use amend_domain::problem::{Place, State};
use amend_events::Form;
use amend_pipeline::{Delivery, accept::Counts};
use amend_store::{Filter, Store as _};
use amend_tests::harness::{Bench, bench, read};

async fn deliver(bench: &Bench) -> Counts {
    let source = SourceText::new("manifest.yaml", read("functions/cli/demo/manifest.yaml"));
    let mut mistakes = Collector::new(&source);
    let root = yaml::parse(&source, &mut mistakes).expect("YAML");
    let mut counts = Counts::default();
    let list = root.get("notifications").expect("notifications").elements();
    assert!(list.len() >= 30);
    for node in list {
        let text = |member: &str| mistakes.text(node.get(member).expect(member));
        let form = Form::parse(text("to").trim_start_matches("/events/")).expect("a door");
        let headers = node.get("headers").map(yaml::Node::entries).unwrap_or_default();
        let attributes: Vec<_> = headers
            .iter()
            .filter_map(|(name, value)| {
                Some((mistakes.text(name).strip_prefix("ce-")?.to_owned(), mistakes.text(value)))
            })
            .collect();
        let body = read(&format!("functions/cli/demo/{}", text("file")));
        let delivery = Delivery { form, body: body.as_bytes(), attributes: &attributes, snapshot: false };
        counts = counts.plus(bench.pipeline.accept(delivery).await.expect("accepted").counts());
    }
    counts
}

async fn demo() -> Bench {
    bench(&read("functions/cli/demo/rules.yaml"), &read("functions/cli/demo/facts.yaml")).await
}

#[tokio::test]
async fn the_bundled_notifications_become_the_problems_they_tell_of() {
    let bench = demo().await;
    let counts = deliver(&bench).await;
    let expected = Counts { new: 30, updated: 8, duplicate: 1, stale: 1, set_aside: 2, unreadable: 1, missed: 1 };
    assert_eq!(counts, expected);
    let again = deliver(&bench).await;
    assert_eq!((again.new, again.updated, again.duplicate), (0, 0, 40), "delivering the same again has no effect");
    assert_eq!(bench.store.parked(true, 10).await.expect("listed").len(), 1);

    let problems = bench.store.problems(&Filter::default()).await.expect("listed");
    let of = |name: &str| {
        problems.iter().find(|p| *p.resource.name == *name).unwrap_or_else(|| panic!("no problem on {name}"))
    };
    let two = of("nw-invoice-archive");
    assert_eq!(
        (two.findings.len(), two.setting.as_str()),
        (2, "aws.s3.block-public-access"),
        "one problem reported by two sources"
    );
    let disagree = of("nw-partner-drop");
    assert_eq!(
        (disagree.findings.len(), disagree.sources_agree(), disagree.state),
        (2, false, State::Open),
        "Defender's word counts"
    );
    assert_eq!(of("stnwbackup04").place, Place::Backlog);
    assert_eq!(of("sg-0c41d7e9b2a5f8036").period, 2, "it came back");
    assert!(matches!(of("app-nw-trial").state, State::Closed(_)));
    let open: Vec<_> = problems.iter().filter(|p| p.state == State::Open).collect();
    assert!(open.windows(2).all(|pair| pair[0].urgency() <= pair[1].urgency()), "most risky first");
}

#[tokio::test]
async fn an_event_from_an_account_nobody_knows_is_not_acted_on() {
    let bench = demo().await;
    deliver(&bench).await;
    let filter = Filter { account: Some("aws:210987650002".into()), ..Filter::default() };
    let problems = bench.store.problems(&filter).await.expect("listed");
    assert!(!problems.is_empty());
    for problem in problems {
        let decision = &problem.decision;
        let observed = decision.fix.is_none_or(|fix| fix.mode == amend_domain::rule::Mode::Observe);
        assert!(observed, "{}: {}", problem.resource.name, decision.action());
    }
}

#[test]
fn the_rules_of_the_demo_and_the_starter_rules_pass_their_own_tests() {
    for file in [amend_catalog::starter_rules(), SourceText::new("demo", read("functions/cli/demo/rules.yaml"))] {
        let (loaded, warnings) =
            amend_catalog::rule_file::load(std::slice::from_ref(&file)).unwrap_or_else(|m| panic!("{m}"));
        assert_eq!(warnings.list(), [], "{}", file.name);
        assert!(loaded.tests.len() >= 3);
        for test in &loaded.tests {
            assert_eq!(test.run(&loaded.rules).wrong, [], "{}: {}", file.name, test.name);
        }
    }
}
