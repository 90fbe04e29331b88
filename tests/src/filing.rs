//! A desk that files what a pipeline records, and tells one tracker of it.

use std::{collections::BTreeMap, sync::Arc};

use amend_connect::Tracker;
use amend_domain::work::After;
use amend_events::Form;
use amend_pipeline::tickets::{Desk, Routes};
use amend_store::Tickets;

use crate::harness::{Bench, CountedIds, Export, bench, catalogue};

/// A desk with its pipeline.
pub struct Filing {
    pub bench: Bench,
    pub desk: Desk,
}

/// An assessment of a storage account.
pub fn account(name: &str) -> Export {
    let group = "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg";
    Export { resource: format!("{group}/providers/Microsoft.Storage/storageAccounts/{name}"), ..Export::default() }
}

impl Filing {
    /// One that sends all tickets to the tracker that is made, called `name`.
    pub async fn new(rules: &str, name: &str, make: impl FnOnce(Arc<dyn Tickets>) -> Arc<dyn Tracker>) -> Self {
        let bench = bench(rules, "version: 1").await;
        let store = Arc::new(bench.store.clone());
        let tickets: Arc<dyn Tickets> = store.clone();
        let tracker = make(tickets.clone());
        let trackers = BTreeMap::from([(name.to_owned(), tracker)]);
        let desk = Desk::new(store, tickets, trackers, catalogue(), bench.clock.clone(), &CountedIds::default());
        let desk = desk.with_routes(Routes::new(Vec::new(), name));
        Self { bench, desk }
    }

    /// Reports a finding.
    pub async fn report(&self, export: &Export, code: &str, changed: &str) {
        let export = Export { code: code.into(), changed: Some(changed.into()), ..export.clone() };
        self.bench.accept(Form::Plain, &export.text()).await;
    }

    /// Does what is due at a time.
    pub async fn work(&self, at: &str) -> Vec<After> {
        self.bench.clock.set(at);
        let mut done = Vec::new();
        while let Some((_, after)) = self.desk.work().await.expect("the store answers") {
            done.push(after);
            assert!(done.len() < 10_000, "work does not end");
        }
        done
    }
}
