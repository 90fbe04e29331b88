//! Names with `*` in them, compared without regard to case.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A lower-cased text in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Lower-cases `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase().into())
    }

    /// The text itself where it has no `*`: such a pattern can be looked up instead of tried.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }

    /// Whether `text`, which must be lower-cased, fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        for piece in pieces {
            match rest.split_once(piece) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.into()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_run_and_overlaps_are_not_counted_twice() {
        let check = |pattern: &str, text: &str, fits: bool| {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} on {text}");
        };
        check("microsoft.storage/storageaccounts", "microsoft.storage/storageaccounts", true);
        check("Microsoft.Storage/*", "microsoft.storage/storageaccounts", true);
        check("*public*", "storage account public access", true);
        check("*public", "public access", false);
        check("ab*ba", "aba", false);
        check("a*b*c", "a-b-b-c", true);
        check("*", "", true);
        check("", "x", false);
    }
}
