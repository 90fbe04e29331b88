//! A rehearsal of all that a tracker is told: a ticket of a test is opened, commented and closed.

use std::collections::BTreeMap;

use amend_domain::{
    TenantId, TicketId,
    ticket::{About, Change, Draft, Place, Ticket, Told},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::{Check, Tracker, TrackerError};

/// Opens a ticket that says that it is a test, comments and closes it. What was done is returned, and why it did not go on, where that is so.
pub async fn rehearse(
    name: &str,
    tracker: &dyn Tracker,
    by: &str,
    now: Timestamp,
) -> (Vec<Check>, Option<TrackerError>) {
    let mut done = Vec::new();
    let result = steps(name, tracker, by, now, &mut done).await;
    (done, result.err())
}

async fn steps(
    name: &str,
    tracker: &dyn Tracker,
    by: &str,
    now: Timestamp,
    done: &mut Vec<Check>,
) -> Result<(), TrackerError> {
    // Each is a ticket of its own: what is set on new ones is tried, too.
    let of = format!("a test of {name}, {}", now.as_millisecond());
    let about = About::Rest { of: of.into(), day: now.to_zoned(TimeZone::UTC).date() };
    let tenant = TenantId::new("-");
    let mut ticket = Ticket {
        id: TicketId::new(&tenant, name, &about),
        tenant,
        tracker: name.into(),
        about,
        title: "Amend: a test of this connector".into(),
        owner: None,
        rule: None,
        place: Place::default(),
        began: now,
        members: BTreeMap::new(),
        told: Told::default(),
        wanted: 0,
    };
    let body = format!(
        "{by} tries whether Amend can open, comment and close tickets here. It is closed at once. ({})",
        ticket.id
    );
    let draft = Draft { title: ticket.title.to_string(), body, owner: None, due: None };
    // What could be opened must be found.
    let none = tracker.find(&ticket).await?;
    let entry = match none {
        Some(entry) => entry,
        None => tracker.open(&ticket, &draft, now).await?,
    };
    let url = entry.url.as_deref().map_or_else(String::new, |url| format!(": {url}"));
    done.push(Check::good(format!("opened {}{url}", entry.key)));
    ticket.tell(entry.clone(), now);
    let entry = tracker.change(&ticket, &entry, &change(&ticket, now, "A comment of the test.", None), now).await?;
    done.push(Check::good("commented it"));
    ticket.tell(entry.clone(), now);
    tracker.change(&ticket, &entry, &change(&ticket, now, "The test is over.", Some(false)), now).await?;
    done.push(Check::good("closed it"));
    Ok(())
}

fn change(ticket: &Ticket, now: Timestamp, text: &str, open: Option<bool>) -> Change {
    Change { id: format!("{}-{}", ticket.step_name(), now.as_millisecond()), text: text.to_owned(), open }
}
