//! Many plans, carefully: one first, then in waves that grow, a few at a time in each account, and no
//! further when too many fail. Pure: who carries plans out asks what may begin, and says what ended.

use std::collections::BTreeMap;

/// How many at once, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most at once in one account.
    pub per_account: usize,
    /// The most at once.
    pub at_once: usize,
    /// The share of failures, in percent, above which no more begin. Two failures at least.
    pub stop_percent: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { per_account: 4, at_once: 16, stop_percent: 10 }
    }
}

/// Where a run through many plans stands.
#[derive(Clone, Debug)]
pub struct Bulk {
    pace: Pace,
    /// Those that have not begun, in order, with their accounts.
    waiting: Vec<(usize, String)>,
    running: BTreeMap<usize, String>,
    /// The size of the wave, and what of it has not begun.
    wave: usize,
    left_in_wave: usize,
    ended: usize,
    failed: usize,
    canary_failed: bool,
}

impl Bulk {
    /// A run through plans in these accounts, in order.
    #[must_use]
    pub fn new(accounts: impl IntoIterator<Item = String>, pace: Pace) -> Self {
        Self {
            pace,
            waiting: accounts.into_iter().enumerate().collect(),
            running: BTreeMap::new(),
            // The canary is a wave of one.
            wave: 1,
            left_in_wave: 1,
            ended: 0,
            failed: 0,
            canary_failed: false,
        }
    }

    /// What may begin now.
    pub fn begin(&mut self) -> Vec<usize> {
        if self.stopped().is_some() {
            return Vec::new();
        }
        // A wave begins when the one before has ended.
        if self.left_in_wave == 0 && self.running.is_empty() {
            self.wave = self.wave.saturating_mul(4);
            self.left_in_wave = self.wave;
        }
        let mut begun = Vec::new();
        let mut at = 0;
        while self.left_in_wave > 0 && self.running.len() < self.pace.at_once {
            let Some((index, account)) = self.waiting.get(at).cloned() else { break };
            if self.running.values().filter(|other| **other == account).count() >= self.pace.per_account {
                at = at.saturating_add(1);
                continue;
            }
            self.waiting.remove(at);
            self.running.insert(index, account);
            self.left_in_wave = self.left_in_wave.saturating_sub(1);
            begun.push(index);
        }
        begun
    }

    /// One ended, well or not.
    pub fn end(&mut self, index: usize, well: bool) {
        self.running.remove(&index);
        self.canary_failed |= self.ended == 0 && !well;
        self.ended = self.ended.saturating_add(1);
        self.failed = self.failed.saturating_add(usize::from(!well));
    }

    /// Whether nothing runs and nothing more may begin.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.running.is_empty() && (self.waiting.is_empty() || self.stopped().is_some())
    }

    /// Why no more begin, where they do not.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        if self.waiting.is_empty() {
            return None;
        }
        if self.canary_failed {
            return Some("the first one did not end well".to_owned());
        }
        let limit = self.ended.saturating_mul(self.pace.stop_percent);
        (self.failed >= 2 && self.failed.saturating_mul(100) > limit)
            .then(|| format!("{} of {} did not end well", self.failed, self.ended))
    }

    /// How many have not begun.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
