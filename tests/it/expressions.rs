//! Expressions: what they see, what they may not do, and that no text brings the process down.

use amend_domain::{Facts, Truth, expr::Program, facts::Need};
use amend_tests::random;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

/// The strictest place where expressions are compiled and evaluated: a thread with a small stack.
fn on_a_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).expect("a thread").join().expect("no panic")
}

fn assessment() -> amend_domain::Assessment {
    let strategy = random::assessment();
    strategy.new_tree(&mut TestRunner::deterministic()).expect("an assessment").current()
}

fn refused(source: &str) -> String {
    Program::compile(source).expect_err(source).to_string()
}

#[test]
fn what_rules_do_not_have_is_refused_with_a_suggestion() {
    let error = Program::compile("sevrity == 'high'").expect_err("a misspelled name");
    assert_eq!(
        (error.message.as_str(), error.hint.as_deref(), error.span),
        ("`sevrity` is not a name that rules know", Some("did you mean `severity`?"), 0..7)
    );
    assert!(refused("name.startswith('a')").contains("`startswith` is not a function"));
    assert!(refused("name.matches(region)").contains("one literal pattern"));
    assert!(refused("name.matches('(')").contains("not a regular expression"));
    assert!(refused("areas.exists(a, risk_factors.exists(r, r == a))").contains("inside another"));
    assert!(refused("{'a': 1}.a == 1").contains("maps and messages"));
    assert!(
        refused("severity ==").contains("mismatched input") || refused("severity ==").contains("error"),
        "{}",
        refused("severity ==")
    );
    assert!(refused("").contains("empty"));
    assert!(refused("severity >= 'high'").contains("no order"));
    assert!(refused("'low' < risk").contains("no order"));
    assert!(refused("tags[name] == 'x'").contains("literal key"));
    assert!(refused("severity").contains("neither true nor false"));
    let hint = Program::compile("tags.env = 'prod'").expect_err("one sign").hint;
    assert_eq!(hint.as_deref(), Some("compare with `==`"));
}

#[test]
fn no_source_within_the_size_limit_brings_the_process_down() {
    let fill = |unit: &str, end: &str| {
        let mut text = String::new();
        while text.len() + unit.len() + end.len() <= 1_024 {
            text.push_str(unit);
        }
        text + end
    };
    let mut hostile: Vec<String> = vec![
        fill("1+", "1 == 1"),
        fill("(", ""),
        fill("((", "1"),
        fill("[", ""),
        fill("{", ""),
        fill("!", "true"),
        fill("-", "1 == 1"),
        fill("!-", "1"),
        fill("true?", "1"),
        fill("true?true:", "true"),
        fill("tags.", "a"),
        fill("tags['a']", ""),
        fill("true&&", "true"),
        fill("true||", "true"),
        fill("true ==", "true"),
        fill("1 in ", "[1]"),
        fill("a in [a,", "1]"),
        fill("size(", ""),
        fill("string(string(", ""),
        fill("areas.exists(a,", ""),
        fill("areas.map(a, a).", "size() == 1"),
        fill("\"\\", ""),
        fill("'''", ""),
        fill("\u{1F600}", ""),
        fill("name.matches('a') &&", "true"),
    ];
    for depth in [20, 23, 24, 25, 30, 48, 60, 90, 120] {
        hostile.push(format!("{}true{}", "(".repeat(depth), ")".repeat(depth)));
        hostile.push(format!("{}1 == 1", "1+".repeat(depth)));
        hostile.push(format!("{}true", "!".repeat(depth)));
        hostile.push(format!("tags{} == 1", ".a".repeat(depth)));
        hostile.push(format!("{}true{}", "[".repeat(depth), "]".repeat(depth)));
        hostile.push(format!("{}true", "true?true:".repeat(depth)));
    }
    for source in hostile {
        let assessment = assessment();
        println!("{source}"); // an abort takes no name with it
        on_a_small_stack(move || {
            if let Ok(program) = Program::compile(&source) {
                let _ = program.holds(&assessment, &Facts::none(random::now()));
            }
        });
    }
    assert!(refused(&"a".repeat(1_025)).contains("at most 1024"));
}

#[test]
fn the_deepest_program_is_evaluated_within_the_room_that_is_asked_for() {
    // Just above the room at which no larger stack is taken.
    let inside = |program: Program| {
        let assessment = assessment();
        let work = move || program.evaluate(&assessment, &Facts::none(random::now())).truth;
        let thread = std::thread::Builder::new().stack_size((1 << 20) + (192 << 10)).spawn(work).expect("a thread");
        thread.join().expect("no overflow")
    };
    let deepest = |make: &dyn Fn(usize) -> String| {
        (1..=64).rev().find_map(|depth| Program::compile(&make(depth)).ok()).expect("some depth is allowed")
    };
    inside(deepest(&|depth| format!("{}1 > 0", "1+".repeat(depth))));
    inside(deepest(&|depth| format!("{}true", "!".repeat(depth))));
    inside(deepest(&|depth| format!("areas.all(a, {}1 > 0)", "1+".repeat(depth))));
    inside(deepest(&|depth| format!("{}name{} == ''", "string(".repeat(depth), ")".repeat(depth))));
}

#[test]
fn the_keys_of_tags_have_no_case_and_a_missing_tag_is_null() {
    let assessment = assessment();
    let mut facts = Facts::none(random::now());
    let tags = [("DoNotTouch", "yes"), ("Env", "prod")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let known = amend_domain::facts::Known {
        value: amend_domain::Tags(tags.into()),
        source: "test".into(),
        read: random::now(),
    };
    facts.tags = Some(std::sync::Arc::new(known));
    for (source, truth) in [
        ("'donottouch' in tags", Truth::True),
        ("'DONOTTOUCH' in tags", Truth::True),
        ("has(tags.doNotTouch)", Truth::True),
        ("tags.env == 'prod'", Truth::True),
        ("tags['ENV'] == 'prod'", Truth::True),
        ("tags['managed-by'] == 'terraform'", Truth::False),
        ("tags['managed-by'] == null", Truth::True),
        ("has(tags.owner)", Truth::False),
        ("tags.exists(key, key == 'env')", Truth::True),
    ] {
        let evaluated = Program::compile(source).expect(source).holds(&assessment, &facts);
        assert_eq!(evaluated.truth, truth, "{source}: {:?}", evaluated.error);
    }
}

#[test]
fn what_is_not_known_makes_the_result_unknown_unless_it_does_not_matter() {
    let mut assessment = assessment();
    assessment.risk = None;
    assessment.severity = Some(amend_domain::Severity::High);
    assessment.resource.region = None;
    let facts = Facts::none(random::now());
    let check = |source: &str, truth: Truth, needs: &[Need]| {
        let evaluated = Program::compile(source).expect(source).holds(&assessment, &facts);
        assert_eq!(
            (evaluated.truth, evaluated.needs.iter().collect::<Vec<_>>()),
            (truth, needs.to_vec()),
            "{source}: {:?}",
            evaluated.error
        );
    };
    check("risk == 'high'", Truth::Unknown, &[Need::Risk]);
    check("tags.env == 'prod'", Truth::Unknown, &[Need::Tags]);
    check("tags['env'] == 'prod'", Truth::Unknown, &[Need::Tags]);
    check("has(tags.env)", Truth::Unknown, &[Need::Tags]);
    check("tags.env == 'prod' || severity == 'high'", Truth::True, &[]);
    check("severity == 'low' && tags.env == 'prod'", Truth::False, &[]);
    check("tags.env == 'prod' && severity == 'low'", Truth::False, &[]);
    check("severity == 'HIGH'", Truth::True, &[]);
    check("'Low' == severity", Truth::False, &[]);
    check("severity in ['LOW', 'High']", Truth::True, &[]);
    // Absent is null: it compares, and nothing else.
    check("region == null", Truth::True, &[]);
    check("region != 'eu'", Truth::True, &[]);
    check("region.startsWith('eu')", Truth::Unknown, &[Need::Expression]);
    check("region != null && region.startsWith('eu')", Truth::False, &[]);
    check("size(areas) > 100", Truth::False, &[]);
    check("key == '51FD8BB1-0db4-bbf1-7e2b-cfcba7eb66a6'", Truth::False, &[]);
    check("region == null ? name : name", Truth::Unknown, &[Need::Expression]);
}
