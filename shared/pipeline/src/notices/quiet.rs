//! Quiet hours: times of the day in which nobody is told what can wait.

use jiff::{Timestamp, civil::Time, tz::TimeZone};

/// From a time of the day to another, in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
}

impl Quiet {
    /// Reads `20:00-07:00 Europe/Vienna`.
    ///
    /// # Errors
    /// When it is not written so, or nobody knows the time zone.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` are no hours of a day");
        let (hours, zone) = text.trim().split_once(' ').ok_or_else(form)?;
        let (from, to) = hours.split_once('-').ok_or_else(form)?;
        let time = |text: &str| {
            let (hour, minute) = text.split_once(':').ok_or_else(form)?;
            let number = |text: &str| text.parse::<i8>().map_err(|_| form());
            Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| form())
        };
        let (from, to) = (time(from)?, time(to)?);
        if from == to {
            return Err(format!("`{text}` is either no time, or all of it"));
        }
        let zone = TimeZone::get(zone.trim()).map_err(|_| format!("no time zone is called `{}`", zone.trim()))?;
        Ok(Self { from, to, zone })
    }

    /// The end of them, where they hold at a time; that time, where they do not.
    #[must_use]
    pub fn end(&self, at: Timestamp) -> Timestamp {
        let local = at.to_zoned(self.zone.clone());
        let time = local.time();
        let over_night = self.from > self.to;
        let holds = match over_night {
            true => time >= self.from || time < self.to,
            false => time >= self.from && time < self.to,
        };
        if !holds {
            return at;
        }
        let day = match over_night && time >= self.from {
            true => local.date().tomorrow(),
            false => Ok(local.date()),
        };
        let end = day.and_then(|day| day.to_datetime(self.to).to_zoned(self.zone.clone()));
        end.map_or(at, |end| end.timestamp())
    }
}
