//! Which tracker a new ticket goes to.

use amend_domain::{Cloud, Problem, pattern::Pattern};

/// The tracker that Amend brings with it.
pub const LOCAL: &str = amend_connect::local::NAME;

/// A tracker for some of the tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Of problems in this cloud; in any, if absent.
    pub cloud: Option<Cloud>,
    /// Of problems in one of these accounts, by native id; in any, if there are none.
    pub accounts: Vec<String>,
    /// Of owners that fit one of these; of any, if there are none.
    pub owners: Vec<Pattern>,
    /// The tracker.
    pub to: String,
}

impl Route {
    fn takes(&self, problem: &Problem) -> bool {
        let account = problem.resource.account.as_ref().map(|account| account.native());
        let owner = problem.decision.owner.name.as_deref().unwrap_or_default().to_lowercase();
        self.cloud.is_none_or(|cloud| cloud == problem.resource.cloud)
            && (self.accounts.is_empty()
                || account.is_some_and(|account| self.accounts.iter().any(|one| one.eq_ignore_ascii_case(account))))
            && (self.owners.is_empty() || self.owners.iter().any(|pattern| pattern.fits(&owner)))
    }
}

/// Which tracker takes what: the first route that fits, else the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    routes: Vec<Route>,
    usual: String,
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(Vec::new(), LOCAL)
    }
}

impl Routes {
    /// These routes, in order; what none takes goes to `usual`.
    #[must_use]
    pub fn new(routes: Vec<Route>, usual: &str) -> Self {
        Self { routes, usual: usual.to_owned() }
    }

    /// The tracker for what no route takes.
    #[must_use]
    pub fn usual(&self) -> &str {
        &self.usual
    }

    /// Whether a route leads to a tracker.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.routes.iter().any(|route| route.to == name)
    }

    /// The tracker for a problem that is in no ticket yet.
    #[must_use]
    pub fn of(&self, problem: &Problem) -> &str {
        self.routes.iter().find(|route| route.takes(problem)).map_or(&self.usual, |route| &route.to)
    }
}
