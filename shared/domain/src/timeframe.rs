//! How long an owner has: `14d`, `36h`, `2w`, or Defender's `d.hh:mm:ss`.

use std::fmt;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A length of time, whole seconds, at most 3,650 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timeframe(u32);

/// Why a text is no [`Timeframe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeframeError {
    /// It has neither form.
    #[error("expected a duration such as `14d`, `36h`, `1d 12h` or `7.00:00:00`")]
    Form,
    /// It is longer than ten years, or does not count.
    #[error("a duration is at most 3650d")]
    Range,
}

const DAY: u32 = 86_400;
const LONGEST: u32 = 3_650 * DAY;

impl Timeframe {
    /// A number of whole days.
    ///
    /// Returns nothing above 3,650.
    #[must_use]
    pub fn days(days: u32) -> Option<Self> {
        days.checked_mul(DAY).filter(|seconds| *seconds <= LONGEST).map(Self)
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::from(self.0)
    }

    /// Reads `14d`, `1d 12h`, `90m`, `2w`, or Defender's `d.hh:mm:ss` (the regular expression of
    /// `remediationTimeframe` in `Microsoft.Security/governanceRules` 2022-01-01-preview).
    ///
    /// # Errors
    /// When the text has neither form, or is longer than 3,650 days.
    pub fn parse(text: &str) -> Result<Self, TimeframeError> {
        let text = text.trim();
        let seconds = match text.split_once('.') {
            Some((days, clock)) => {
                let mut parts = clock.split(':');
                let (Some(h), Some(m), Some(s), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
                    return Err(TimeframeError::Form);
                };
                if [h, m, s].iter().any(|part| part.len() != 2) {
                    return Err(TimeframeError::Form);
                }
                [(days, u64::from(DAY)), (h, 3_600), (m, 60), (s, 1)]
                    .into_iter()
                    .map(|(part, unit)| number(part).and_then(|n| n.checked_mul(unit).ok_or(TimeframeError::Range)))
                    .try_fold(0_u64, |sum, part| sum.checked_add(part?).ok_or(TimeframeError::Range))?
            }
            None => {
                if text.is_empty() {
                    return Err(TimeframeError::Form);
                }
                let mut sum = 0_u64;
                for part in text.split_whitespace() {
                    let unit = match part.as_bytes().last() {
                        Some(b'w') => 7 * u64::from(DAY),
                        Some(b'd') => u64::from(DAY),
                        Some(b'h') => 3_600,
                        Some(b'm') => 60,
                        Some(b's') => 1,
                        _ => return Err(TimeframeError::Form),
                    };
                    let count = number(part.get(..part.len().saturating_sub(1)).unwrap_or_default())?;
                    sum = count.checked_mul(unit).and_then(|s| sum.checked_add(s)).ok_or(TimeframeError::Range)?;
                }
                sum
            }
        };
        u32::try_from(seconds).ok().filter(|s| *s <= LONGEST).map(Self).ok_or(TimeframeError::Range)
    }

    /// The same in Defender's form, `d.hh:mm:ss`.
    #[must_use]
    pub fn defender(self) -> String {
        let (days, rest) = (self.0 / DAY, self.0 % DAY);
        format!("{days}.{:02}:{:02}:{:02}", rest / 3_600, rest % 3_600 / 60, rest % 60)
    }

    /// The moment this long after `start`.
    #[must_use]
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(SignedDuration::from_secs(self.seconds())).unwrap_or(Timestamp::MAX)
    }
}

/// Whether a date is past. The whole due day (UTC) is still on time, as Defender counts.
#[must_use]
pub fn is_overdue(due: Timestamp, now: Timestamp) -> bool {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    day(now) > day(due)
}

fn number(text: &str) -> Result<u64, TimeframeError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeframeError::Form);
    }
    text.parse().map_err(|_| TimeframeError::Range)
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut first = true;
        for (unit, name) in [(DAY, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
            let count = rest.checked_div(unit).unwrap_or(0);
            rest = rest.checked_rem(unit).unwrap_or(0);
            if count > 0 {
                write!(f, "{}{count}{name}", if first { "" } else { " " })?;
                first = false;
            }
        }
        if first { f.write_str("0d") } else { Ok(()) }
    }
}

impl TryFrom<String> for Timeframe {
    type Error = TimeframeError;
    fn try_from(text: String) -> Result<Self, TimeframeError> {
        Self::parse(&text)
    }
}

impl From<Timeframe> for String {
    fn from(timeframe: Timeframe) -> Self {
        timeframe.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("time stamp")
    }

    #[test]
    fn the_first_of_march_and_fourteen_days_is_the_fifteenth() {
        let due = Timeframe::parse("14d").expect("duration").after(at("2026-03-01T09:30:00Z"));
        assert_eq!(due, at("2026-03-15T09:30:00Z"));
        assert!(!is_overdue(due, at("2026-03-15T23:59:59Z")), "the whole due day is on time");
        assert!(is_overdue(due, at("2026-03-16T00:00:00Z")));
    }

    #[test]
    fn both_forms_are_read_and_defenders_is_written_back() {
        let check = |text: &str, shown: &str, defender: &str| {
            let read = Timeframe::parse(text).expect(text);
            assert_eq!((read.to_string().as_str(), read.defender().as_str()), (shown, defender));
            assert_eq!(Timeframe::parse(&read.to_string()), Ok(read));
        };
        check("7.00:00:00", "7d", "7.00:00:00");
        check("1.12:30:05", "1d 12h 30m 5s", "1.12:30:05");
        check("2w", "14d", "14.00:00:00");
        check("36h", "1d 12h", "1.12:00:00");
        check("0d", "0d", "0.00:00:00");
        for wrong in ["", "14", "d", "-1d", "7.0:00:00", "7.00:00", "1e3d", "99999999999999999999d"] {
            assert!(Timeframe::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Timeframe::parse("4000d"), Err(TimeframeError::Range));
    }
}
