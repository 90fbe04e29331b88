//! The audit trail: whole, however many write it; what was touched is found; what is old goes into a file.

use std::sync::Arc;

use amend_domain::{audit::Broken, rule::Mode, work::Stop};
use amend_pipeline::audit::{AuditError, note_head, purge, verify};
use amend_store::Store as _;
use amend_tests::{
    harness::moment,
    places::{Fresh, Kind},
};
use tokio::task::JoinSet;

use crate::{
    store::noon,
    work::{bench, storage},
};

pub(crate) async fn the_trail_is_whole_however_many_write_it(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = Arc::new(fresh.open().await);
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for at in 0..5 {
                let stop = Stop { by: format!("w{n}").into(), at: noon(), why: at.to_string().into() };
                store.stop(&stop).await.expect("stopped");
                store.resume(&stop.by, noon()).await.expect("resumed");
            }
        });
    }
    tasks.join_all().await;
    let whole = verify(&*store, None, &[]).await.expect("whole");
    assert!((40..=80).contains(&whole.records), "{} records", whole.records);
    fresh.tamper("UPDATE audit SET body = replace(body, 'w3', 'w4') WHERE body LIKE '%w3%'").await;
    let broken = verify(&*store, None, &[]).await.expect_err("changed");
    assert!(matches!(broken, AuditError::Broken(Broken::Changed(_))), "{broken}");
}

pub(crate) async fn old_records_are_purged_into_a_file_and_leave_a_checkpoint(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let file = |name: &str| fresh.folder.path().join(name);
    let (heads, first, second) = (file("heads.jsonl"), file("1.jsonl"), file("2.jsonl"));
    let at =
        |month: i8| jiff::civil::date(2026, month, 1).to_zoned(jiff::tz::TimeZone::UTC).expect("a day").timestamp();
    for month in 1..=6 {
        let stop = Stop { by: "ann".into(), at: at(month), why: "a drill".into() };
        store.stop(&stop).await.expect("stopped");
        note_head(&store, &heads, at(month)).await.expect("noted");
        store.resume("ann", at(month)).await.expect("resumed");
    }
    note_head(&store, &heads, at(6)).await.expect("noted");
    let before = verify(&store, Some(&heads), &[]).await.expect("whole");
    assert_eq!((before.records, before.purged, before.noted), (13, 0, 8));
    let old = |month| purge(&store, Some(&heads), at(month), &first, ("bob", noon()));
    assert_eq!(old(1).await.expect("nothing is that old"), None);
    assert!(!first.exists());
    let purged = old(3).await.expect("purged").expect("some");
    assert_eq!((purged.records, purged.through.seq), (5, 5));
    let taken = old(4).await.expect_err("the file is there");
    assert!(matches!(&taken, AuditError::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists));
    // What others purged meanwhile is not purged again, and nothing says so.
    assert_eq!(store.purge_audit(&purged.through, "cat", noon()).await.expect("asked"), None);
    let whole = verify(&store, Some(&heads), &[]).await.expect("whole");
    assert_eq!((whole.records, whole.purged, whole.earlier, whole.noted), (9, 5, 0, 5));
    let last = store.audit(12, 10).await.expect("read").pop().expect("a checkpoint").entry;
    assert_eq!(
        (&*last.what, &*last.who, &last.detail["through"]["seq"]),
        ("audit.purged", "bob", &serde_json::json!(5))
    );
    purge(&store, Some(&heads), at(5), &second, ("bob", noon())).await.expect("purged").expect("some");
    let files = [first.clone(), second.clone()];
    let whole = verify(&store, Some(&heads), &files).await.expect("whole");
    assert_eq!((whole.records, whole.purged, whole.earlier, whole.noted), (6, 9, 9, 8));
    assert_eq!(verify(&store, None, &files[1..]).await.expect("whole").earlier, 4);
    // The end of what was purged is still held against what was noted of it.
    let other = file("others.jsonl");
    std::fs::write(&other, r#"{"at":"2026-05-01T00:00:00Z","seq":9,"digest":"sha256:other"}"#).expect("written");
    let wrong = verify(&store, Some(&other), &[]).await.expect_err("another trail");
    assert!(matches!(wrong, AuditError::Broken(Broken::NotAsNoted(9))), "{wrong}");
    // The files must be all of them, in order, and as they were written.
    let wrong = verify(&store, None, &files[..1]).await.expect_err("one is missing");
    assert_eq!(wrong.to_string(), "the files end with record 5, and the store begins after record 9");
    let wrong = verify(&store, None, &[second.clone(), first.clone()]).await.expect_err("the other way round");
    assert!(matches!(wrong, AuditError::Broken(Broken::Missing(10))), "{wrong}");
    let first_text = std::fs::read_to_string(&first).expect("read");
    let text = std::fs::read_to_string(&second).expect("read");
    std::fs::write(&second, text.replace("a drill", "a thrill")).expect("written");
    let wrong = verify(&store, None, &files).await.expect_err("changed");
    assert!(matches!(wrong, AuditError::Broken(Broken::Changed(6))), "{wrong}");
    std::fs::write(&second, &text[..100]).expect("written");
    let wrong = verify(&store, None, &files).await.expect_err("cut off");
    assert!(
        wrong.to_string().starts_with("line 1 of ") && wrong.to_string().ends_with("is no record of an audit trail")
    );
    std::fs::write(&second, text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()).expect("written");
    let wrong = verify(&store, None, &files).await.expect_err("a record is missing");
    assert_eq!(wrong.to_string(), "the files end with record 8, and the store begins after record 9");
    // Nothing may be missing at the beginning of a file, either.
    for (changed, lines, missing) in [(&second, 1, 6), (&first, 2, 1)] {
        let whole = [(&second, &text), (&first, &first_text)];
        for (path, text) in whole {
            std::fs::write(path, text).expect("written");
        }
        let (_, kept) = whole.into_iter().find(|(path, _)| *path == changed).expect("one of them");
        let rest: String = kept.lines().skip(lines).map(|line| format!("{line}\n")).collect();
        std::fs::write(changed, rest).expect("written");
        let of = if missing == 6 { &files[1..] } else { &files[..] };
        let wrong = verify(&store, None, of).await.expect_err("cut at the beginning");
        assert!(matches!(wrong, AuditError::Broken(Broken::Missing(n)) if n == missing), "{wrong}");
    }
    std::fs::write(&first, "").expect("written");
    let wrong = verify(&store, None, &files).await.expect_err("empty");
    assert!(wrong.to_string().ends_with("1.jsonl holds no record of an audit trail"), "{wrong}");
    // All there is may be that old, the checkpoints as well.
    let (all, third) = (Fresh::new(kind).await, file("all.jsonl"));
    let emptied = all.open().await;
    for _ in 0..2 {
        emptied.stop(&Stop { by: "ann".into(), at: at(1), why: "a drill".into() }).await.expect("stopped");
        emptied.resume("ann", at(1)).await.expect("resumed");
    }
    let purged = purge(&emptied, None, at(2), &third, ("bob", noon())).await.expect("purged").expect("some");
    assert_eq!((purged.records, purged.through.seq), (4, 4));
    let whole = verify(&emptied, None, std::slice::from_ref(&third)).await.expect("whole");
    assert_eq!((whole.records, whole.purged, whole.earlier), (1, 4, 4));
    // Whoever takes out more than the checkpoint says is found, and a broken trail is not purged.
    fresh.tamper("DELETE FROM audit WHERE seq = 10").await;
    for wrong in [
        verify(&store, None, &[]).await.expect_err("missing"),
        purge(&store, None, noon(), &file("3.jsonl"), ("bob", noon())).await.expect_err("broken"),
    ] {
        assert!(matches!(wrong, AuditError::Broken(Broken::Missing(10))), "{wrong}");
    }
    assert!(!file("3.jsonl").exists());
    // Without a checkpoint nothing may be missing.
    fresh.tamper("DELETE FROM audit WHERE seq >= 14").await;
    let wrong = verify(&store, None, &[]).await.expect_err("missing");
    assert!(matches!(wrong, AuditError::Broken(Broken::Missing(1))), "{wrong}");
}

#[tokio::test]
async fn a_trail_that_was_touched_is_found_out() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let heads = bench.inner.fresh.folder.path().join("heads.jsonl");
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.fixer.work(None).await.expect("planned").expect("something");
    let now = moment("2026-11-20T12:00:00Z");
    assert!(note_head(bench.store(), &heads, now).await.expect("noted"));
    assert!(!note_head(bench.store(), &heads, now).await.expect("noted"), "once");
    bench.work().await;
    assert!(note_head(bench.store(), &heads, now).await.expect("noted"));
    let whole = verify(bench.store(), Some(&heads), &[]).await.expect("whole");
    assert_eq!((whole.records, whole.noted), (7, 3));

    let copy = async |name: &str, statements: &[&str]| {
        let copy = bench.inner.fresh.copy().await;
        for statement in statements {
            copy.tamper(statement).await;
        }
        let store = copy.open().await;
        match verify(&store, Some(&heads), &[]).await {
            Err(AuditError::Broken(broken)) => broken,
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(
        copy("changed", &["UPDATE audit SET body = replace(body, '\"amend\"', '\"ann\"') WHERE seq = 3"]).await,
        Broken::Changed(3)
    );
    assert_eq!(copy("missing", &["DELETE FROM audit WHERE seq = 2"]).await, Broken::Missing(2));
    assert_eq!(copy("cut", &["DELETE FROM audit WHERE seq > 4"]).await, Broken::Missing(5));
    // A later end would hide what does not fit: it is not noted.
    for (statement, expected) in [
        ("DELETE FROM audit WHERE seq > 6", Broken::Missing(7)),
        (
            "UPDATE audit SET body = replace(body, '\"digest\":\"sha256:', '\"digest\":\"sha256:0') WHERE seq = 7",
            Broken::NotAsNoted(7),
        ),
    ] {
        let copy = bench.inner.fresh.copy().await;
        copy.tamper(statement).await;
        let refused = note_head(&copy.open().await, &heads, now).await.expect_err("it does not fit");
        assert!(matches!(&refused, AuditError::Broken(broken) if *broken == expected), "{refused}");
    }
    // Nor is it begun anew, where it is gone: the trail tells that there was one.
    let text = std::fs::read_to_string(&heads).expect("read");
    for gone in [None, Some("")] {
        match gone {
            None => std::fs::remove_file(&heads).expect("removed"),
            Some(text) => std::fs::write(&heads, text).expect("written"),
        }
        let refused = note_head(bench.store(), &heads, now).await.expect_err("it is gone");
        assert!(refused.to_string().contains("is empty or gone, and was not at 2026-11-20T12:00:00Z"), "{refused}");
    }
    std::fs::write(&heads, text).expect("written");
    assert_eq!(
        copy(
            "moved",
            &["UPDATE audit SET seq = -seq WHERE seq IN (3, 4)", "UPDATE audit SET seq = 7 + seq WHERE seq < 0"]
        )
        .await,
        Broken::Missing(3)
    );
    // Whoever can compute digests can forge a whole trail, but not the second place.
    let forged = Fresh::new(Kind::usual()).await;
    let store = forged.open().await;
    for at in 0..6 {
        store.stop(&Stop { by: "x".into(), at: now, why: at.to_string().into() }).await.expect("stopped");
        store.resume("x", now).await.expect("resumed");
    }
    let broken = verify(&store, Some(&heads), &[]).await.expect_err("forged");
    assert!(matches!(broken, AuditError::Broken(Broken::NotAsNoted(1))), "{broken}");
}
