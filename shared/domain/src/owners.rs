//! Who is who: what tags, rules and accounts call an owner, whom that stands for, and who is told where they are late.

use crate::pattern::Pattern;

/// Owners, in order: the first that fits counts.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    rows: Vec<Mapped>,
    source: Box<str>,
}

/// An owner.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// What tags and rules call them; absent where this is about all in an account that nobody else owns.
    pub name: Option<Pattern>,
    /// Where that holds: a subscription, account or project, by its native id; everywhere, if absent.
    pub account: Option<Box<str>>,
    /// Who they are: an address; what they are called, if absent.
    pub owner: Option<Box<str>>,
    /// Who is told of what is overdue.
    pub manager: Option<Box<str>>,
}

impl Mapped {
    fn holds_in(&self, account: Option<&str>) -> bool {
        self.account.as_deref().is_none_or(|wanted| account.is_some_and(|account| account.eq_ignore_ascii_case(wanted)))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.as_ref().is_some_and(|pattern| pattern.fits(&name.trim().to_lowercase()))
    }
}

impl Owners {
    /// These, from a file of this name.
    #[must_use]
    pub fn new(rows: Vec<Mapped>, source: &str) -> Self {
        Self { rows, source: source.into() }
    }

    /// Where they come from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whom a name stands for in an account, where that is told.
    #[must_use]
    pub fn called(&self, name: &str, account: Option<&str>) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.is_called(name) && row.holds_in(account))?;
        row.owner.as_deref()
    }

    /// The address of an owner: a name that is one, or stands for one.
    #[must_use]
    pub fn address<'n>(&'n self, owner: &'n str) -> Option<&'n str> {
        let is_address = |name: &&str| name.contains('@');
        Some(owner).filter(is_address).or_else(|| self.called(owner, None).filter(is_address))
    }

    /// Who owns what nobody else does in an account.
    #[must_use]
    pub fn of(&self, account: &str) -> Option<&str> {
        let row = self.rows.iter().find(|row| row.name.is_none() && row.holds_in(Some(account)))?;
        row.owner.as_deref()
    }

    /// Who is told where an owner is late.
    #[must_use]
    pub fn manager(&self, owner: &str) -> Option<&str> {
        let is = |row: &&Mapped| {
            row.manager.is_some()
                && (row.owner.as_deref().is_some_and(|one| one.eq_ignore_ascii_case(owner)) || row.is_called(owner))
        };
        self.rows.iter().find(is)?.manager.as_deref()
    }
}
