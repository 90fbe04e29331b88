//! The tests inside a fix file, run with the engine itself: what the cloud would answer stands in the
//! file, and what is sent is compared with it. Nothing leaves this machine.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use amend_catalog::{
    fix_file::FixFile,
    fix_test::{Expect, FixTest, Sent},
};
use amend_cloud::{CallError, Cloud, Place};
use amend_domain::{
    AccountId,
    fix::{Fix, Read},
    plan::{At, Plan, PlannedCall, Verdict, same},
    ports::Clock,
};
use amend_models::{Call, Texts};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Remedy, RemedyError, locate, target_of};

/// What came of one test.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsed {
    /// The fix.
    pub fix: String,
    /// The test.
    pub name: String,
    /// The file and the line.
    pub place: String,
    /// What was wrong; nothing, if all was right.
    pub wrong: Option<String>,
}

/// Runs the tests of a fix.
pub async fn rehearse(file: &FixFile) -> Vec<Rehearsed> {
    let mut all = Vec::new();
    for test in &file.tests {
        let wrong = run(&Arc::new(file.fix.clone()), test).await.err();
        all.push(Rehearsed {
            fix: file.fix.id.to_string(),
            name: test.name.clone(),
            place: format!("{}:{}", file.source.name, test.line),
            wrong,
        });
    }
    all
}

/// The plan of the first test that sends something: what the fix looks like in use.
///
/// # Errors
/// Says what is wrong where there is none.
pub async fn example(file: &FixFile) -> Result<Plan, String> {
    let sends = |test: &&FixTest| matches!(test.expect, Expect::Sends { .. });
    let test = file.tests.iter().find(sends).ok_or("no test of this fix sends anything")?;
    remedy(&Arc::new(file.fix.clone()), test, &test.given).await?.plan().await.map_err(|error| explain(&error))
}

async fn run(fix: &Arc<Fix>, test: &FixTest) -> Result<(), String> {
    let planned = match remedy(fix, test, &test.given).await {
        Ok(remedy) => remedy.plan().await.map_err(|error| explain(&error)),
        Err(error) => Err(error),
    };
    let plan = match (planned, &test.expect) {
        (Ok(plan), _) => plan,
        (Err(error), Expect::Refused(part)) if error.contains(part) => return Ok(()),
        (Err(error), _) => return Err(error),
    };
    match (&test.expect, &plan.verdict) {
        (Expect::Nothing, Verdict::Compliant) => Ok(()),
        (Expect::Nothing, _) => Err(format!("nothing should be sent, but the plan is: {}", said(&plan))),
        (Expect::Refused(part), Verdict::Refused { why }) if why.contains(part) => Ok(()),
        (Expect::Refused(part), _) => {
            Err(format!("expected to be refused with `{part}`, but the plan is: {}", said(&plan)))
        }
        (Expect::Sends { calls, then, undo }, Verdict::Write) => {
            compare("the fix", calls, &plan.calls)?;
            check_args(&plan.calls)?;
            afterwards(fix, test, &plan, then, undo).await
        }
        (Expect::Sends { .. }, _) => Err(format!("expected to send something, but the plan is: {}", said(&plan))),
    }
}

/// With what the reads answer afterwards: the settings are as planned, a second run sends nothing, and
/// the way back is as the test says.
async fn afterwards(
    fix: &Arc<Fix>,
    test: &FixTest,
    plan: &Plan,
    then: &Map<String, Value>,
    undo: &[Sent],
) -> Result<(), String> {
    let mut later = test.given.clone();
    later.extend(then.clone());
    let remedy = remedy(fix, test, &later).await?;
    let observed = remedy.observe().await.map_err(|error| format!("after the fix: {}", explain(&error)))?;
    for change in &plan.changes {
        let now = observed.now.get(&*change.setting).unwrap_or(&Value::Null);
        if !same(now, &change.then) {
            return Err(format!("after the fix, `{}` reads back as {now}, not {}", change.setting, change.then));
        }
    }
    if !observed.compliant {
        return Err("after the fix, the resource is still not as it should be".into());
    }
    let second = remedy.plan_for(&observed).map_err(|error| explain(&error))?;
    if second.verdict != Verdict::Compliant {
        return Err(format!("a second run would send: {}", said(&second)));
    }
    let back = remedy.calls_back(plan, &observed).map_err(|error| format!("undoing: {}", explain(&error)))?;
    compare("the undo", undo, &back)?;
    check_args(&back)
}

async fn remedy(fix: &Arc<Fix>, test: &FixTest, given: &Map<String, Value>) -> Result<Remedy, String> {
    let target = match fix.assessed(&test.target) {
        Some(target) => target,
        None => target_of(fix, &test.target).map_err(|error| explain(&error))?,
    };
    let account = target.part("account").or(target.part("subscription")).or(target.part("project"));
    let account = match fix.cloud() {
        amend_domain::Cloud::Aws => AccountId::aws(account.unwrap_or("111122223333")),
        amend_domain::Cloud::Azure => AccountId::azure(test.target.as_str()),
        _ => account.and_then(AccountId::gcp),
    };
    let at = At {
        resource: test.target.clone(),
        cloud: fix.cloud(),
        account,
        region: Some(target.part("region").unwrap_or("eu-west-1").into()),
        via: None,
    };
    let cloud = Answers::new(fix, given)?;
    let at = locate(fix, at, &cloud).await.map_err(|error| explain(&error))?;
    Remedy::new(Arc::clone(fix), at, &test.params, Arc::new(cloud), Arc::new(Still)).map_err(|error| explain(&error))
}

fn explain(error: &RemedyError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn said(plan: &Plan) -> String {
    match &plan.verdict {
        Verdict::Compliant => "compliant".into(),
        Verdict::Refused { why } => format!("refused, {why}"),
        Verdict::Write => {
            plan.calls.iter().map(|call| format!("{} {}", call.call, call.with)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Whether the calls are those expected. Arguments that are null are as good as not there, and only
/// those count that the test names at all.
fn compare(what: &str, expected: &[Sent], calls: &[PlannedCall]) -> Result<(), String> {
    if expected.len() != calls.len() {
        let list = calls.iter().map(|call| format!("{} {}", call.call, call.with)).collect::<Vec<_>>().join("; ");
        return Err(format!("{what} should make {} calls, and makes {}: {list}", expected.len(), calls.len()));
    }
    for (expected, call) in expected.iter().zip(calls) {
        if expected.call != *call.call || !same(&expected.with, &call.with) {
            return Err(format!(
                "{what} should call {} {}, and calls {} {}",
                expected.call, expected.with, call.call, call.with
            ));
        }
    }
    Ok(())
}

/// Whether the APIs take such arguments.
fn check_args(calls: &[PlannedCall]) -> Result<(), String> {
    for planned in calls {
        let call = Call::find(&planned.call).map_err(|error| error.to_string())?;
        if let Some(wrong) = call.check(&planned.with, Texts::Final).first() {
            return Err(format!("{}: `{}` {}", planned.call, wrong.path, wrong.message));
        }
    }
    Ok(())
}

/// A cloud that answers reads from the test, in the order of the fix, and takes no writes.
struct Answers(Mutex<HashMap<Box<str>, VecDeque<Answer>>>);

enum Answer {
    Value(Value),
    Absent(Box<str>),
}

impl Answers {
    fn new(fix: &Fix, given: &Map<String, Value>) -> Result<Self, String> {
        let names: Vec<&str> = fix.all_reads().map(|read| &*read.name).collect();
        if let Some(name) = given.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("`{name}` is no read of this fix; it has {}", names.join(", ")));
        }
        let mut answers: HashMap<Box<str>, VecDeque<Answer>> = HashMap::new();
        for read in fix.all_reads() {
            let Some(value) = given.get(&*read.name) else { continue };
            let answer = match (value, read.absent_on.first()) {
                (Value::Null, Some(code)) => Answer::Absent(code.clone()),
                (value, _) => Answer::Value(answer(read, value)?),
            };
            answers.entry(read.call.clone()).or_default().push_back(answer);
        }
        Ok(Self(Mutex::new(answers)))
    }
}

/// What the cloud would answer: what the test says, held against the API's description.
fn answer(read: &Read, value: &Value) -> Result<Value, String> {
    let call = Call::find(&read.call).map_err(|error| error.to_string())?;
    if let Some(wrong) = call.check_answer(value).first() {
        let hint = wrong.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        return Err(format!("given.{}.{} {}{hint}", read.name, wrong.path, wrong.message));
    }
    let mut value = value.clone();
    call.complete(&mut value);
    Ok(value)
}

#[async_trait]
impl Cloud for Answers {
    async fn call(&self, _: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let name = call.name();
        let wrong = call.check(args, Texts::Final);
        if !wrong.is_empty() {
            return Err(CallError::Args { call: name, wrong });
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.get_mut(name.as_str()).and_then(VecDeque::pop_front) {
            Some(Answer::Value(value)) => Ok(value),
            Some(Answer::Absent(code)) => Err(CallError::Refused {
                call: name,
                code: code.into(),
                message: String::new(),
                status: 404,
                request_id: None,
            }),
            None => Err(CallError::NotReached { call: name, reason: "the test gives no answer to it".into() }),
        }
    }
}

/// The time of every rehearsal.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        // 2026-01-01T00:00:00Z
        Timestamp::from_second(1_767_225_600).unwrap_or_default()
    }
}
