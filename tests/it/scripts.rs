//! The generated script, run by the real AWS command line on moto: it reaches the same end as the
//! engine, which then undoes it.

use std::process::Command;

use amend_catalog::script;
use amend_domain::{
    Cloud,
    plan::{State, Verdict, diff},
};
use amend_pipeline::remedy::Memory;
use amend_tests::{
    harness::{catalogue, long, workspace},
    subject::{Subject, cases},
};

#[tokio::test]
async fn the_aws_command_line_does_what_the_plan_says() {
    let mut shown = std::collections::BTreeSet::new();
    // One of each wire format; all of them at full size.
    let few = [
        "aws.s3.require-tls",
        "aws.ec2.imdsv2",
        "aws.rds.snapshot-private",
        "aws.kms.rotation",
        "aws.lambda.no-public-access",
    ];
    for (fix, case) in cases(Cloud::Aws, |fix, case| match fix {
        "aws.ec2.no-public-ssh" | "aws.ec2.no-public-rdp" => case == "bad-only" && long(),
        // Version 1 of the command line calls SQS by an old name, whatever address it is given.
        "aws.sqs.encryption" => false,
        fix => case == "bad" && (long() || few.contains(&fix)),
    }) {
        let subject = Subject::make(&fix, &case);
        let remedy = subject.real();
        let before = subject.state();
        let plan = remedy.plan().await.expect("a plan");
        let text = script::render(std::slice::from_ref(&plan)).expect("a script");
        let tools = workspace().join("target/tools/aws/bin");
        let output = Command::new("bash")
            .args(["-c", &text])
            .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
            .env("AWS_ENDPOINT_URL", subject.served.url())
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env("AWS_PAGER", "")
            .env("AMEND_YES", "1")
            .output()
            .expect("bash runs");
        assert!(output.status.success(), "{fix}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(remedy.plan().await.expect("a plan").verdict, Verdict::Compliant, "{fix}");
        // The engine takes it for its own work, and undoes it.
        let journal = Memory::default();
        let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
        r.state = State::Set;
        remedy.undo(&mut r, &journal, None).await.expect("undone");
        subject.go_on(&remedy, &mut r, &journal).await.expect("undone");
        assert_eq!(r.state, State::Undone, "{fix}: {:?}", r.why);
        let lines = diff("", &before, &subject.state());
        assert!(lines.is_empty(), "{fix}: {lines:#?}");
        shown.insert(fix);
    }
    assert!(shown.len() >= if long() { 12 } else { 5 }, "{shown:?}");
}

#[tokio::test]
async fn a_script_asks_first_and_stops_in_another_account() {
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let remedy = subject.real();
    let mut plan = remedy.plan().await.expect("a plan");
    let run = |text: &str, input: &str| {
        let tools = workspace().join("target/tools/aws/bin");
        let command = format!("printf '{input}' | bash -c \"$SCRIPT\"");
        let mut command_line = Command::new("bash");
        command_line
            .args(["-c", &command])
            .env("SCRIPT", text)
            .env("PATH", format!("{}:/usr/bin:/bin", tools.display()));
        command_line.env("AWS_ENDPOINT_URL", subject.served.url()).env("AWS_PAGER", "");
        command_line
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env_remove("AMEND_YES");
        command_line.output().expect("bash runs")
    };
    let before = subject.state();
    let no = run(&script::render(std::slice::from_ref(&plan)).expect("a script"), "n\\n");
    assert!(!no.status.success());
    plan.at.account = amend_domain::AccountId::aws("999988887777");
    let elsewhere = run(&script::render(std::slice::from_ref(&plan)).expect("a script"), "y\\n");
    assert!(
        String::from_utf8_lossy(&elsewhere.stderr)
            .contains("signed in to 123456789012, and this is about 999988887777")
    );
    assert_eq!(subject.state(), before);
}

#[tokio::test]
async fn every_fix_has_a_script_that_bash_can_read() {
    for file in catalogue().iter() {
        let plan = amend_pipeline::remedy::rehearse::example(file).await.expect("an example");
        let text = script::render(&[plan]).expect("a script");
        let output = Command::new("bash").args(["-n", "-c", &text]).output().expect("bash runs");
        assert!(output.status.success(), "{}: {text}\n{}", file.fix.id, String::from_utf8_lossy(&output.stderr));
    }
}
