//! Many plans at once: a canary, waves, a few in each account, and a stop.

use amend_pipeline::bulk::{Bulk, Pace};

fn run(accounts: &[&str], pace: Pace, well: impl Fn(usize) -> bool) -> (Vec<usize>, Bulk) {
    let mut bulk = Bulk::new(accounts.iter().map(|account| (*account).to_owned()), pace);
    let mut sizes = Vec::new();
    while !bulk.is_over() {
        let begun = bulk.begin();
        assert!(!begun.is_empty(), "it goes on");
        sizes.push(begun.len());
        for index in begun {
            bulk.end(index, well(index));
        }
    }
    (sizes, bulk)
}

#[test]
fn one_goes_first_and_the_waves_grow() {
    let accounts = vec!["a"; 30];
    let pace = Pace { per_account: 100, at_once: 100, ..Pace::default() };
    let (sizes, bulk) = run(&accounts, pace, |_| true);
    assert_eq!(sizes, [1, 4, 16, 9]);
    assert_eq!(bulk.stopped(), None);
}

#[test]
fn an_account_has_a_few_at_once() {
    let mut bulk = Bulk::new(["a", "a", "a", "b", "b"].map(str::to_owned), Pace { per_account: 2, ..Pace::default() });
    assert_eq!(bulk.begin(), [0]);
    assert_eq!(bulk.begin(), Vec::<usize>::new(), "the canary has not ended");
    bulk.end(0, true);
    assert_eq!(bulk.begin(), [1, 2, 3, 4]);
    let mut bulk = Bulk::new(["a", "a", "a", "a", "b"].map(str::to_owned), Pace { per_account: 2, ..Pace::default() });
    bulk.begin();
    bulk.end(0, true);
    assert_eq!(bulk.begin(), [1, 2, 4]);
    bulk.end(1, true);
    assert_eq!(bulk.begin(), [3]);
}

#[test]
fn a_canary_that_fails_ends_it() {
    let (sizes, bulk) = run(&["a"; 20], Pace::default(), |index| index != 0);
    assert_eq!(sizes, [1]);
    assert_eq!((bulk.stopped().as_deref(), bulk.waiting()), (Some("the first one did not end well"), 19));
}

#[test]
fn too_many_failures_end_it_and_one_does_not() {
    let pace = Pace { per_account: 100, at_once: 100, stop_percent: 10 };
    let (_, bulk) = run(&["a"; 40], pace, |index| index != 3);
    assert_eq!((bulk.stopped(), bulk.waiting()), (None, 0));
    let (_, bulk) = run(&["a"; 40], pace, |index| index < 5);
    assert_eq!(bulk.stopped().as_deref(), Some("16 of 21 did not end well"));
}
