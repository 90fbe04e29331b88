//! What somebody is told of what happened lately: one message, one line for each problem, the most urgent first.

use std::{cmp::Reverse, collections::BTreeMap};

use amend_connect::chat::{Item, Message, Tone};
use amend_domain::{
    notice::{News, Notice},
    timeframe::is_overdue,
};
pub use askama::Error as Unwritten;
use askama::Template;

use super::{digest, one_line};

/// A message tells of no more than that.
pub const MOST: usize = 20;

/// What matters of these, in order: of a problem, what happened to it last.
#[must_use]
pub fn latest(notices: &[Notice]) -> Vec<Notice> {
    let mut last: BTreeMap<_, &Notice> = BTreeMap::new();
    for notice in notices {
        let held = last.entry(&notice.problem).or_insert(notice);
        let last = |one: &Notice| (one.at, one.news, one.fix.is_some());
        if last(held) <= last(notice) {
            *held = notice;
        }
    }
    let mut all: Vec<Notice> = last.into_values().cloned().collect();
    all.sort_by_key(|one| (place(one.news), Reverse(one.rank), one.at, one.problem.clone()));
    all
}

/// The message that tells of these, in their order; nothing, where there are none.
#[must_use]
pub fn message(all: &[Notice]) -> Option<Message> {
    let items: Vec<Item> = all.iter().take(MOST).map(item).collect();
    (!all.is_empty()).then(|| Message {
        title: title(all),
        more: all.len().saturating_sub(items.len()),
        items,
        foot: "Amend · amend list shows all that is open".to_owned(),
    })
}

/// What a person is to do something about comes first.
fn place(news: News) -> u8 {
    match news {
        News::Failed | News::Parked => 0,
        News::Asked | News::Announced => 1,
        News::Opened | News::Returned | News::Overdue => 2,
        News::Changing | News::Undoing | News::Undone => 3,
        News::Changed | News::Healthy | News::Closed => 4,
    }
}

/// How many of each kind, in a line.
fn title(all: &[Notice]) -> String {
    let mut counts: Vec<(News, usize)> = Vec::new();
    for one in all {
        match counts.iter_mut().find(|(news, _)| *news == one.news) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((one.news, 1)),
        }
    }
    let words = |(news, count): &(News, usize)| match (news, count) {
        (News::Opened, 1) => "1 new finding".to_owned(),
        (News::Opened, count) => format!("{count} new findings"),
        (News::Returned, count) => format!("{count} came back"),
        (News::Overdue, count) => format!("{count} overdue"),
        (News::Announced, 1) => "1 fix announced".to_owned(),
        (News::Announced, count) => format!("{count} fixes announced"),
        (News::Asked, 1) => "1 fix awaits approval".to_owned(),
        (News::Asked, count) => format!("{count} fixes await approval"),
        (News::Changing, count) => format!("{count} being fixed"),
        (News::Changed, count) => format!("{count} fixed"),
        (News::Healthy, count) => format!("{count} healthy"),
        (News::Closed, count) => format!("{count} closed"),
        (News::Undoing, count) => format!("{count} being undone"),
        (News::Undone, count) => format!("{count} undone"),
        (News::Failed, 1) => "1 fix failed".to_owned(),
        (News::Failed, count) => format!("{count} fixes failed"),
        (News::Parked, 1) => "1 needs a person".to_owned(),
        (News::Parked, count) => format!("{count} need a person"),
    };
    counts.iter().map(words).collect::<Vec<_>>().join(", ")
}

fn item(one: &Notice) -> Item {
    let (tone, news) = match one.news {
        News::Opened => (Tone::Alarm, "New"),
        News::Returned => (Tone::Alarm, "Came back"),
        News::Overdue => (Tone::Asked, "Overdue"),
        News::Announced => (Tone::Asked, "Will be fixed"),
        News::Asked => (Tone::Asked, "Awaits approval"),
        News::Changing => (Tone::Plain, "Is being fixed"),
        News::Changed => (Tone::Good, "Fixed"),
        News::Healthy => (Tone::Good, "Healthy"),
        News::Closed => (Tone::Plain, "Closed"),
        News::Undoing => (Tone::Plain, "Is being undone"),
        News::Undone => (Tone::Asked, "Undone"),
        News::Failed => (Tone::Alarm, "Fix failed, and was undone"),
        News::Parked => (Tone::Alarm, "Needs a person"),
    };
    let about = [Some(one.cloud.as_str().to_owned()), one.account.as_deref().map(str::to_owned)];
    let about: Vec<String> = about.into_iter().flatten().chain([digest::risk(one.risk, one.severity)]).collect();
    let mut lines = Vec::new();
    if matches!(one.news, News::Opened | News::Returned | News::Overdue | News::Announced | News::Asked) {
        let owner = match (&one.owner, &one.owner_lacks) {
            (Some(owner), _) => format!("owner {}", one_line(owner)),
            (None, Some(why)) => format!("its owner is not known yet: {why}"),
            (None, None) => "nobody owns it".to_owned(),
        };
        let due = one.due.map(|due| {
            let late = if is_overdue(due, one.at) { ", which is over" } else { "" };
            format!("due {}{late}", due.strftime("%Y-%m-%d"))
        });
        lines.push([Some(owner), due].into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    if let Some(fix) = &one.fix {
        let by = if one.news == News::Asked { String::new() } else { format!(", by {}", fix.by) };
        lines.push(format!("fix {}{by}, {}", fix.fix, fix.remediation));
    }
    lines.extend(one.why.iter().map(|why| one_line(why)));
    let command = match (one.news, &one.fix) {
        (News::Asked, Some(fix)) => format!("amend approvals {}", fix.remediation),
        (News::Changed | News::Healthy, Some(fix)) => format!("amend undo {}", fix.remediation),
        (_, Some(fix)) => format!("amend remediations {}", fix.remediation),
        (News::Announced, None) => {
            format!("amend announced {} --now | --postpone DAY --why … | --object --why …", one.problem)
        }
        (_, None) => format!("amend explain {}", one.problem),
    };
    Item {
        tone,
        news: news.to_owned(),
        title: one_line(&one.title),
        name: one_line(&one.name),
        about: about.join(" · "),
        lines,
        command: Some(command),
    }
}

/// A message as mails and pages have it.
#[derive(Template)]
#[template(path = "news.html")]
struct Html<'m> {
    message: &'m Message,
}

#[derive(Template)]
#[template(path = "news.txt")]
struct Text<'m> {
    message: &'m Message,
}

/// As a page.
///
/// # Errors
/// When the template cannot be filled in.
pub fn html(message: &Message) -> Result<String, askama::Error> {
    Html { message }.render()
}

/// As a plain text.
///
/// # Errors
/// When the template cannot be filled in.
pub fn text(message: &Message) -> Result<String, askama::Error> {
    Text { message }.render()
}

/// How a message to a channel looks in Slack and in Microsoft Teams, as a page.
#[derive(Template)]
#[template(path = "preview.html")]
struct Preview<'m> {
    whom: &'m str,
    message: &'m Message,
}

/// As it looks in a channel, whichever service that is of.
///
/// # Errors
/// When the template cannot be filled in.
pub fn preview(whom: &str, message: &Message) -> Result<String, askama::Error> {
    Preview { whom, message }.render()
}

/// What is a line's on that page.
fn class(tone: &Tone) -> &'static str {
    match tone {
        Tone::Alarm => "alarm",
        Tone::Asked => "asked",
        Tone::Plain => "plain",
        Tone::Good => "good",
    }
}

/// The colour of a line on a page.
fn colour(tone: &Tone) -> &'static str {
    match tone {
        Tone::Alarm => "#b3261e",
        Tone::Asked => "#a85b00",
        Tone::Plain => "#2463b0",
        Tone::Good => "#1f7a3d",
    }
}
