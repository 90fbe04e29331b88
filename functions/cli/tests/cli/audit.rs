//! The stop switch, and the audit trail: what was done, whether that is all, and where old records go.

use amend_domain::work::Stop;
use amend_store::{Database, Store as _};

use crate::{code, place, text};

#[test]
fn everything_is_stopped_and_goes_on_and_the_trail_tells() {
    let place = place();
    // A switch of a new store would stop nobody.
    for arguments in [&["stop", "--why", "a drill"][..], &["resume"][..]] {
        let nowhere = place.amend(arguments);
        assert!(code(&nowhere) == 1 && text(&nowhere.stderr).contains("there is no store at .amend/amend.db"));
    }
    place.amend(&["list"]);
    assert_eq!(text(&place.amend(&["resume"]).stdout), "nothing was stopped\n");
    assert_eq!(text(&place.amend(&["audit", "list"]).stdout), "nothing was done yet\n");
    let stopped = place.amend(&["stop", "--why", "a drill"]);
    assert!(text(&stopped.stdout).contains("by the local user: a drill"), "{}", text(&stopped.stdout));
    let again = place.amend(&["stop", "--why", "me too"]);
    assert!(text(&again.stdout).contains("was stopped already since") && text(&again.stdout).contains("a drill"));
    let work = place.amend(&["work"]);
    assert!(text(&work.stderr).contains("everything is stopped since"), "{}", text(&work.stderr));
    let swept = place.amend(&["sweep"]);
    assert!(text(&swept.stderr).contains("everything is stopped by the local user (a drill): nothing was done"));
    assert!(text(&place.amend(&["resume"]).stdout).contains("everything goes on"));
    let swept = place.amend(&["sweep"]);
    assert!(text(&swept.stderr).contains("`remediate.most` is off"), "{}", text(&swept.stderr));
    let verified = place.amend(&["audit", "verify"]);
    assert_eq!(code(&verified), 0);
    assert!(text(&verified.stdout).starts_with("the audit trail is whole: 3 records; no second place is configured"));
    let exported = text(&place.amend(&["audit", "export"]).stdout);
    assert_eq!(exported.lines().count(), 3);
    assert!(exported.contains(r#""what":"stop""#) && exported.contains(r#""why":"a drill""#), "{exported}");
    let recent = place.amend(&["recent", "arn:aws:s3:::acme", "--since", "2h"]);
    assert_eq!(text(&recent.stdout), "no: Amend did nothing to arn:aws:s3:::acme in the last 2h\n");
    let wrong = place.amend(&["recent", "payments"]);
    assert!(code(&wrong) == 1 && text(&wrong.stderr).contains("`payments` is no resource and no account"));
    let wrong = place.amend(&["recent", "arn:aws:s3:::acme", "--since", "soon"]);
    assert!(code(&wrong) == 1 && text(&wrong.stderr).contains("write it as `2h` or `3d`"));
    assert_eq!(text(&place.amend(&["approvals"]).stdout), "nothing awaits approval\n");
    let approve = place.amend(&["approve", "r-none", "--plan", "01234567"]);
    assert!(code(&approve) == 1 && text(&approve.stderr).contains("remediation `r-none` is not known"));
    // What it is held against must be there.
    place.write("amend.yaml", "version: 1\naudit: { heads: heads.jsonl }\n");
    let verified = place.amend(&["audit", "verify"]);
    assert!(code(&verified) == 3 && text(&verified.stdout).contains("no end of the audit trail is noted"));
    assert_eq!(code(&place.amend(&["sweep"])), 0);
    let verified = place.amend(&["audit", "verify"]);
    assert!(code(&verified) == 0 && text(&verified.stdout).contains("2 ends in the second place, and all fit"));
    let elsewhere = place.amend(&["audit", "verify", "--heads", "nope.jsonl"]);
    assert!(code(&elsewhere) == 1 && text(&elsewhere.stderr).contains("there is no nope.jsonl"));
    // It is not begun anew where it was removed, and that is said.
    std::fs::remove_file(place.folder.path().join("heads.jsonl")).expect("removed");
    let swept = place.amend(&["sweep"]);
    assert!(code(&swept) == 1 && text(&swept.stderr).contains("is empty or gone, and was not at 20"));
    assert!(
        text(&swept.stderr).contains("name another place in `audit.heads`") && text(&swept.stdout).contains("0 parked")
    );
    assert!(!place.folder.path().join("heads.jsonl").exists());
    let retried = place.amend(&["work", "retry", "remedy:p-none"]);
    assert!(code(&retried) == 1 && text(&retried.stderr).contains("there is no work `remedy:p-none`"));
    // The configuration stops it, too, whatever the switch says.
    let by_file = [("AMEND__STOPPED", "true"), ("AMEND__REMEDIATE__MOST", "approve")];
    let swept = place.amend_in(&["sweep"], "", &by_file);
    assert!(text(&swept.stderr).contains("everything is stopped by the configuration (`stopped: true`)"));
    let resumed = place.amend_in(&["resume"], "", &by_file);
    assert!(code(&resumed) == 3 && text(&resumed.stderr).contains("the configuration stops everything"));
    place.write("amend.yaml", "version: 1\nremediate: { most: everything }\n");
    let config = place.amend(&["config", "check"]);
    let errors = text(&config.stderr);
    assert!(code(&config) == 3 && errors.contains("off, observe, approve, enforce"), "{errors}");
}

/// The switch was used in another year.
pub(crate) async fn stopped_long_ago(store: &Database) {
    let at = "2020-02-03T04:05:06Z".parse().expect("a time");
    let stop = Stop { by: "ann".into(), at, why: "a drill".into() };
    store.stop(&stop).await.expect("stopped");
    store.resume("ann", at).await.expect("resumed");
}

#[test]
fn old_records_of_the_trail_are_purged_by_somebody_with_a_name() {
    let place = place();
    place.amend(&["list"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let file = amend_store::Place::File(place.folder.path().join(".amend/amend.db"));
        stopped_long_ago(&Database::open(&file).await.expect("a store")).await;
    });
    place.amend(&["stop", "--why", "another drill"]);
    let token = text(&place.amend(&["token", "ann", "--format", "json"]).stdout);
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
    let digest = token["digest"].as_str().expect("a digest");
    place.write(
        "amend.yaml",
        &format!("version: 1\naudit: {{ heads: heads.jsonl }}\npeople: [{{ name: ann, token: '{digest}' }}]\n"),
    );
    assert_eq!(code(&place.amend(&["sweep"])), 0);
    let purge = |older: &str, token: &str| {
        let arguments = ["audit", "purge", "--older", older, "--to", "old.jsonl"];
        place.amend_in(&arguments, "", &[("AMEND__TOKEN", token)])
    };
    let ann = token["token"].as_str().expect("a token");
    for (older, token, said) in [
        ("400d", "", "only people with names can say this"),
        ("soon", ann, "`soon` is no length of time"),
        ("1h", ann, "what is not a day old is not purged"),
    ] {
        let refused = purge(older, token);
        assert!(code(&refused) == 1 && text(&refused.stderr).contains(said), "{said}: {}", text(&refused.stderr));
    }
    assert_eq!(text(&purge("3600d", ann).stdout), "no record is older than 3600d: nothing was purged\n");
    let purged = purge("400d", ann);
    assert!(
        text(&purged.stdout).starts_with("2 records up to number 2 went to old.jsonl: keep it\n"),
        "{}",
        text(&purged.stderr)
    );
    let again = purge("1d", ann);
    assert_eq!(text(&again.stdout), "no record is older than 1d: nothing was purged\n");
    let whole = text(&place.amend(&["audit", "verify", "--earlier", "old.jsonl"]).stdout);
    assert!(
        whole.starts_with(
            "the audit trail is whole: 3 records after the 2 that were purged, which are whole, too; 3 ends in"
        ),
        "{whole}"
    );
    let whole = text(&place.amend(&["audit", "verify"]).stdout);
    assert!(whole.contains("after the 2 that were purged (`--earlier` checks them)"), "{whole}");
    let list = text(&place.amend(&["audit", "list", "--format", "plain"]).stdout);
    assert!(list.lines().last().expect("a line").contains("ann\taudit.purged"), "{list}");
    place.write("old.jsonl", "{}\n");
    let wrong = place.amend(&["audit", "verify", "--earlier", "old.jsonl"]);
    assert!(code(&wrong) == 1 && text(&wrong.stderr).contains("line 1 of old.jsonl is no record of an audit trail"));
    place.write("old.jsonl", "");
    let wrong = place.amend(&["audit", "verify", "--earlier", "old.jsonl"]);
    assert!(text(&wrong.stderr).contains("old.jsonl holds no record of an audit trail"), "{}", text(&wrong.stderr));
}
