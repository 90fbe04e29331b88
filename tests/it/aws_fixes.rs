//! Every AWS fix on moto: the bad resource is made with boto3, planned, fixed, read back with boto3,
//! planned again, undone, and then the whole resource is as it was.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use amend_catalog::fix_file::FixFile;
use amend_cloud::{
    CallError, Cloud, Clouds, Place,
    aws::{Aws, AwsSettings},
    azure::{Azure, AzureSettings},
    gcp::{Gcp, GcpSettings},
};
use amend_domain::{
    fix::Fix,
    plan::{At, Remediation, State, Verdict},
    ports::Clock as _,
};
use amend_models::Call;
use amend_pipeline::remedy::{Journal, Memory, Next, Remedy, RemedyError};
use amend_store::StoreError;
use amend_tests::{
    clouds::Served,
    harness::{StillClock, catalogue, long, moment},
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};

/// AWS, on moto.
fn aws(moto: &Served) -> Arc<dyn Cloud> {
    let settings = AwsSettings { dangerous_endpoint: Some(moto.url()), ..AwsSettings::default() };
    let text = |name: &str| moto.hello[name].as_str().expect("a text").to_owned();
    let aws = Aws::with_credentials(settings, &text("key"), &text("secret"), None);
    Arc::new(Clouds { aws, azure: Azure::new(AzureSettings::default()), gcp: Gcp::new(GcpSettings::default()) })
}

/// One resource on moto, and its fix.
struct Subject {
    moto: &'static Served,
    fix: Arc<Fix>,
    resource: String,
    region: String,
    clock: Arc<StillClock>,
}

impl Subject {
    /// A new resource. Settings of an account and region need one that nobody else uses.
    fn make(fix: &str, case: &str, region: &str) -> Self {
        let moto = Served::moto();
        let made = moto.ask(&json!({ "do": "make", "fix": fix, "case": case, "region": region }));
        let catalogue = catalogue();
        let file: &Arc<FixFile> = catalogue.get(fix).expect("a fix");
        Self {
            moto,
            fix: Arc::new(file.fix.clone()),
            resource: made["resource"].as_str().expect("a resource").to_owned(),
            region: region.to_owned(),
            clock: StillClock::at("2026-11-20T12:00:00Z"),
        }
    }

    fn remedy(&self, cloud: Arc<dyn Cloud>) -> Remedy {
        let at = At {
            resource: amend_domain::ResourceId::new(&self.resource),
            cloud: amend_domain::Cloud::Aws,
            account: amend_domain::AccountId::aws("123456789012"),
            region: Some(self.region.as_str().into()),
        };
        Remedy::new(Arc::clone(&self.fix), at, &Map::new(), cloud, self.clock.clone()).expect("the fix is for this")
    }

    fn state(&self) -> Value {
        self.moto.state(&self.fix.id, &self.resource, &self.region)
    }

    /// Takes a remediation to its end; the clock does the waiting.
    async fn go_on(&self, remedy: &Remedy, r: &mut Remediation, journal: &dyn Journal) -> Result<(), RemedyError> {
        while let Next::Again { at } = remedy.advance(r, journal, None).await? {
            let later = at.max(self.clock.now().checked_add(jiff::SignedDuration::from_secs(1)).expect("a time"));
            self.clock.set(&later.to_string());
        }
        Ok(())
    }
}

fn regions() -> String {
    // A region for each test that changes the settings of a whole region.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const ALL: [&str; 14] = [
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "eu-central-1",
        "eu-north-1",
        "us-west-1",
        "us-west-2",
        "us-east-2",
        "ap-south-1",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
    ];
    ALL[NEXT.fetch_add(1, Ordering::SeqCst) % ALL.len()].to_owned()
}

/// The fixes for AWS with the cases that the resources script can make of them.
fn cases(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let all = Served::moto().ask(&json!({ "do": "list" }));
    let catalogue = catalogue();
    let mut list = Vec::new();
    for (fix, cases) in all.as_object().expect("fixes").iter().filter(|(fix, _)| catalogue.get(fix).is_some()) {
        for case in cases.as_array().expect("cases").iter().filter_map(Value::as_str).filter(|case| wanted(case)) {
            list.push((fix.clone(), case.to_owned()));
        }
    }
    list
}

#[tokio::test]
async fn every_bad_resource_is_fixed_left_alone_then_and_undone_whole() {
    let mut fixed = 0;
    for (fix, case) in cases(|case| case.starts_with("bad")) {
        let subject = Subject::make(&fix, &case, &regions());
        let remedy = subject.remedy(aws(subject.moto));
        let before = subject.state();
        let plan = remedy.plan().await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_eq!(subject.state(), before, "{fix} {case}: planning changes nothing");
        if let Verdict::Refused { why } = &plan.verdict {
            assert!(is_left_to_people(&fix, &case), "{fix} {case}: {why}");
            continue;
        }
        assert_eq!(plan.verdict, Verdict::Write, "{fix} {case}");
        let journal = Memory::default();
        let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
        subject.go_on(&remedy, &mut r, &journal).await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_eq!(r.state, State::Set, "{fix} {case}: {:?}", r.why);
        assert_ne!(subject.state(), before, "{fix} {case}: boto3 sees the change");
        let fixed_state = subject.state();
        let again = remedy.plan().await.expect("a second plan");
        assert_eq!(again.verdict, Verdict::Compliant, "{fix} {case}: the second run sends nothing");
        assert_eq!(subject.state(), fixed_state);
        remedy.undo(&mut r, &journal, None).await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        subject.go_on(&remedy, &mut r, &journal).await.expect("undone");
        assert_eq!(r.state, State::Undone, "{fix} {case}: {:?}", r.why);
        if !moto_forgets(&fix, &case) {
            assert_eq!(subject.state(), before, "{fix} {case}: the whole resource is as it was");
        }
        fixed += 1;
    }
    assert!(fixed >= 3, "only {fixed} were fixed");
}

/// Cases that a fix rightly leaves to a person.
fn is_left_to_people(fix: &str, case: &str) -> bool {
    matches!((fix, case), ("aws.ec2.no-public-ssh" | "aws.ec2.no-public-rdp", "bad" | "all-traffic"))
}

/// Where moto does not do what AWS documents: it drops a queue's policy at every change, and undoing
/// by the documented call cannot bring it back.
fn moto_forgets(fix: &str, case: &str) -> bool {
    fix == "aws.sqs.encryption" && case == "bad"
}

#[tokio::test]
async fn what_is_not_bad_is_left_alone() {
    let mut left = 0;
    for (fix, case) in cases(|case| !case.starts_with("bad") && case != "tagged") {
        let subject = Subject::make(&fix, &case, &regions());
        let before = subject.state();
        let recorder = Recorder::new(aws(subject.moto), None);
        let plan =
            subject.remedy(recorder.clone()).plan().await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_ne!(plan.verdict, Verdict::Write, "{fix} {case}");
        assert_eq!(plan.calls, Vec::new(), "{fix} {case}");
        assert!(recorder.writes().is_empty(), "{fix} {case}");
        assert_eq!(subject.state(), before, "{fix} {case}");
        left += 1;
    }
    assert!(left >= 3);
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The cloud says no.
    Refused,
    /// The request never leaves.
    Unsent,
    /// The cloud does it, and the answer is lost.
    AnswerLost,
    /// The cloud does nothing, and there is no answer.
    RequestLost,
}

/// Passes calls on, notes writes, and has one of them go wrong.
struct Recorder {
    inner: Arc<dyn Cloud>,
    fault: Option<(usize, Fault)>,
    writes: Mutex<Vec<String>>,
}

impl Recorder {
    fn new(inner: Arc<dyn Cloud>, fault: Option<(usize, Fault)>) -> Arc<Self> {
        Arc::new(Self { inner, fault, writes: Mutex::default() })
    }

    fn writes(&self) -> Vec<String> {
        self.writes.lock().expect("nobody panics").clone()
    }
}

#[async_trait]
impl Cloud for Recorder {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        if call.only_reads() {
            return self.inner.call(place, call, args).await;
        }
        let at = {
            let mut writes = self.writes.lock().expect("nobody panics");
            writes.push(call.name());
            writes.len() - 1
        };
        let name = call.name();
        let lost = || CallError::NoAnswer { call: name.clone(), reason: "a test".into(), unsent: false };
        match self.fault.filter(|(fails, _)| *fails == at).map(|(_, fault)| fault) {
            None => self.inner.call(place, call, args).await,
            Some(Fault::Refused) => Err(CallError::Refused {
                call: name,
                code: "AccessDenied".into(),
                message: String::new(),
                status: 403,
                request_id: None,
            }),
            Some(Fault::Unsent) => Err(CallError::NoAnswer { call: name, reason: "a test".into(), unsent: true }),
            Some(Fault::AnswerLost) => {
                self.inner.call(place, call, args).await.expect("the cloud does it");
                Err(lost())
            }
            Some(Fault::RequestLost) => Err(lost()),
        }
    }
}

#[tokio::test]
async fn each_call_may_fail_and_ends_set_or_as_before() {
    for (fix, case) in cases(|case| if long() { case.starts_with("bad") } else { matches!(case, "bad" | "bad-two") }) {
        for (at, fault) in [0_usize, 1].into_iter().flat_map(|at| {
            [Fault::Refused, Fault::Unsent, Fault::AnswerLost, Fault::RequestLost].map(|fault| (at, fault))
        }) {
            let subject = Subject::make(&fix, &case, &regions());
            let before = subject.state();
            let recorder = Recorder::new(aws(subject.moto), Some((at, fault)));
            let remedy = subject.remedy(recorder.clone());
            let plan = remedy.plan().await.expect("a plan");
            if plan.verdict != Verdict::Write || plan.calls.len() <= at {
                continue;
            }
            let journal = Memory::default();
            let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
            subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
            let story = format!("{fix} {case}, call {at} {fault:?}: {:?} {:?}", r.why, r.made);
            match fault {
                Fault::Refused | Fault::Unsent => {
                    assert_eq!(r.state, State::Failed, "{story}");
                    if !moto_forgets(&fix, &case) {
                        assert_eq!(subject.state(), before, "{story}");
                    }
                }
                // What was done is not done again; what was not, is.
                Fault::AnswerLost => {
                    assert_eq!(r.state, State::Set, "{story}");
                    assert_eq!(recorder.writes().len(), r.plan.calls.len(), "{story}");
                }
                Fault::RequestLost => {
                    assert_eq!(r.state, State::Set, "{story}");
                    assert_eq!(recorder.writes().len(), r.plan.calls.len() + 1, "{story}");
                }
            }
        }
    }
}

/// Keeps records until the process is killed: at one of them.
struct Killed {
    kept: Memory,
    left: AtomicUsize,
}

#[async_trait]
impl Journal for Killed {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(StoreError::Overtaken { id: remediation.id.to_string() });
        }
        self.kept.keep(remediation).await
    }
}

#[tokio::test]
async fn a_crash_anywhere_leaves_a_record_to_go_on_from() {
    for (fix, case) in cases(|case| matches!(case, "bad" | "bad-only" | "bad-two")) {
        for survives in 1..16 {
            let subject = Subject::make(&fix, &case, &regions());
            let before = subject.state();
            let recorder = Recorder::new(aws(subject.moto), None);
            let remedy = subject.remedy(recorder.clone());
            let plan = remedy.plan().await.expect("a plan");
            if plan.verdict != Verdict::Write {
                break;
            }
            let journal = Killed { kept: Memory::default(), left: AtomicUsize::new(survives) };
            let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("the first record is kept");
            let killed = subject.go_on(&remedy, &mut r, &journal).await.is_err();
            // The next run knows what was kept, and nothing else.
            let mut r = journal.kept.kept().pop().expect("a record");
            let journal = Memory::default();
            let remedy = subject.remedy(recorder.clone());
            subject.go_on(&remedy, &mut r, &journal).await.expect("it goes on");
            assert_eq!(r.state, State::Set, "{fix} {case}, killed at {survives}: {:?}", r.why);
            let calls = recorder.writes().len();
            assert_eq!(calls, r.plan.calls.len(), "{fix} {case}, killed at {survives}: each call is made once");
            remedy.undo(&mut r, &journal, None).await.expect("undone");
            subject.go_on(&remedy, &mut r, &journal).await.expect("undone");
            assert_eq!(r.state, State::Undone, "{fix} {case}, killed at {survives}");
            if !moto_forgets(&fix, &case) {
                assert_eq!(subject.state(), before, "{fix} {case}, killed at {survives}");
            }
            if !killed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_else_changed_is_never_overwritten() {
    let subject = Subject::make("aws.s3.block-public-access", "bad", "eu-west-1");
    let bucket = subject.resource.rsplit(':').next().expect("a name").to_owned();
    let somebody = |flags: [bool; 4]| {
        let [a, b, c, d] = flags;
        let block =
            json!({ "BlockPublicAcls": a, "IgnorePublicAcls": b, "BlockPublicPolicy": c, "RestrictPublicBuckets": d });
        let with = json!({ "Bucket": bucket, "PublicAccessBlockConfiguration": block });
        subject.moto.ask(&json!({ "do": "call", "service": "s3", "method": "put_public_access_block", "with": with }));
    };
    // Between the plan and the fix.
    let recorder = Recorder::new(aws(subject.moto), None);
    let remedy = subject.remedy(recorder.clone());
    let plan = remedy.plan().await.expect("a plan");
    somebody([false, false, false, true]);
    let journal = Memory::default();
    let mut r = remedy.begin("r-one", plan, "a test", &journal).await.expect("begun");
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Superseded, 0));
    // Between the fix and its undo.
    let plan = remedy.plan().await.expect("a plan");
    let mut r = remedy.begin("r-two", plan, "a test", &journal).await.expect("begun");
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!(r.state, State::Set);
    somebody([true, true, false, false]);
    let theirs = subject.state();
    remedy.undo(&mut r, &journal, None).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Parked, 1), "{:?}", r.why);
    assert!(r.found.contains_key("PublicAccessBlockConfiguration"), "the plan's three ways are kept");
    assert_eq!(subject.state(), theirs);
    // And where they brought back what was there, undoing finds nothing to do.
    somebody([false, false, false, true]);
    let plan = {
        let mut plan = r.plan.clone();
        plan.made = moment("2026-11-20T12:00:00Z");
        plan
    };
    let mut r = Remediation { state: State::Set, plan, ..r };
    remedy.undo(&mut r, &journal, None).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Undone, 1));
}

#[tokio::test]
async fn every_signature_is_the_one_that_botocore_computes() {
    for (fix, case) in cases(|case| case.starts_with("bad")) {
        let subject = Subject::make(&fix, &case, &regions());
        subject.remedy(aws(subject.moto)).plan().await.expect("a plan");
    }
    let wrong = Served::moto().ask(&json!({ "do": "wrong" }));
    assert_eq!(wrong["wrong"], json!([]));
    let seen = Served::moto().ask(&json!({ "do": "requests" }));
    assert!(seen["requests"].as_array().is_some_and(|list| list.len() > 3), "the requests were looked at");
}

#[tokio::test]
async fn a_call_about_another_account_is_not_made() {
    let subject = Subject::make("aws.s3.block-public-access", "bad", "eu-west-1");
    let at = At {
        resource: amend_domain::ResourceId::new(&subject.resource),
        cloud: amend_domain::Cloud::Aws,
        account: amend_domain::AccountId::aws("999988887777"),
        region: Some("eu-west-1".into()),
    };
    let remedy = Remedy::new(Arc::clone(&subject.fix), at, &Map::new(), aws(subject.moto), subject.clock.clone());
    let error = remedy.expect("a remedy").plan().await.expect_err("the credentials are of another account");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("of account 123456789012, the call is about account 999988887777"), "{cause}");
}
