//! What tickets say: in Markdown, in which nothing that comes from a cloud is read as Markdown.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::{Member, Ticket};
use crate::ids::ProblemId;

/// What a tracker is given to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// The title, one line.
    pub title: String,
    /// The rest, in Markdown.
    pub body: String,
    /// Who is to handle it.
    pub owner: Option<Box<str>>,
    /// The first day on which something of it is due.
    pub due: Option<Timestamp>,
}

/// What is told of the first of a ticket's problems, beside what stands in the ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The problem.
    pub problem: Option<ProblemId>,
    /// Why its risk is what it is.
    pub factors: Vec<Box<str>>,
    /// Where its source shows it.
    pub link: Option<Box<str>>,
    /// How it is mended by hand, in Markdown.
    pub steps: Option<String>,
    /// What would change, line by line.
    pub changes: Vec<String>,
    /// The remediation that awaits an answer.
    pub awaits: Option<Box<str>>,
    /// The same as a script.
    pub script: Option<String>,
}

/// A list in a ticket has no more lines than that.
const MOST_LINES: usize = 50;

impl Ticket {
    /// What to open.
    #[must_use]
    pub fn draft(&self, details: &Details) -> Draft {
        let open: Vec<(&ProblemId, &Member)> = self.members.iter().filter(|(_, member)| member.is_open()).collect();
        let due = open.iter().filter_map(|(_, member)| member.due).min();
        let first = open.iter().find(|(id, _)| details.problem.as_ref() == Some(id)).map(|(_, member)| *member);
        let mut body = format!("**Owner:** {}  \n**Due:** {}", self.owner.as_deref().unwrap_or("nobody yet"), day(due));
        if let Some(first) = first {
            let _ = write!(body, "  \n**Risk:** {}", risk(first));
            if !details.factors.is_empty() {
                let _ = write!(body, " ({})", details.factors.join(", "));
            }
        }
        let lines: Vec<String> = open.iter().map(|(_, member)| line(member)).collect();
        let _ = write!(body, "\n\n### What is wrong, and where\n\n{}", list(&lines));
        let mut of = String::new();
        if let Some(first) = first.filter(|_| open.len() > 1) {
            of = format!(" ({})", code(&first.name));
        }
        if let Some(steps) = &details.steps {
            let _ = write!(body, "\n\n### What to do\n\n{}", steps.trim());
        } else if details.link.is_none() {
            body.push_str("\n\n### What to do\n\nIts source gives no steps, and no fix is known.");
        }
        if let Some(link) = &details.link {
            let _ = write!(body, "\n\n[Where its source shows it](<{link}>){of}");
        }
        if !details.changes.is_empty() {
            let fence = fence(&details.changes.concat());
            let lines = details.changes.join("\n");
            let _ = write!(body, "\n\n### What Amend would change{of}\n\n{fence}diff\n{lines}\n{fence}");
        }
        if let Some(remediation) = &details.awaits {
            let _ = write!(
                body,
                "\n\nIt awaits an answer: `amend approvals {remediation}` shows all of it, and how to approve or deny it."
            );
        } else if let Some(problem) = &details.problem {
            let _ = write!(body, "\n\nWhat Amend knows of it: `amend explain {problem}`, `amend plan {problem}`.");
        }
        if let Some(script) = details.script.as_ref().filter(|script| script.len() <= LONGEST_SCRIPT) {
            let fence = fence(script);
            let _ = write!(body, "\n\n### The same as a script{of}\n\n{fence}sh\n{}\n{fence}", script.trim_end());
        }
        let _ = write!(
            body,
            "\n\n---\n\nIt closes by itself when the cloud says that all of it is healthy. What people do here stands. ({})",
            self.id
        );
        Draft { title: self.title.to_string(), body, owner: self.owner.clone(), due }
    }
}

/// A longer script is not part of a ticket.
const LONGEST_SCRIPT: usize = 8_192;

/// A fence of code that nothing in it ends.
fn fence(text: &str) -> String {
    "`".repeat(ticks(text).saturating_add(1).max(3))
}

/// The longest run of backticks.
fn ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// A text as code, on one line: nothing in it is read as Markdown.
pub(super) fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let ticks = "`".repeat(ticks(&text).saturating_add(1));
    let gap = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{gap}{text}{gap}{ticks}")
}

fn risk(member: &Member) -> String {
    match (member.risk, member.severity) {
        (Some(risk), _) => risk.to_string(),
        (None, Some(severity)) => format!("not evaluated (severity {severity})"),
        (None, None) => "not evaluated".to_owned(),
    }
}

pub(super) fn line(member: &Member) -> String {
    let resource = code(member.resource.as_str());
    let announced = member.announced.as_ref().map_or_else(String::new, |said| format!("  \n  {}", plain(said)));
    format!(
        "{}: {} (risk {}; due {})  \n  {resource}{announced}",
        code(&member.name),
        plain(&member.title),
        risk(member),
        day(member.due)
    )
}

/// A text on one line in which nothing is Markdown.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!' => plain.extend(['\\', c]),
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

pub(super) fn day(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "no date".to_owned(), |at| at.to_zoned(TimeZone::UTC).date().to_string())
}

pub(super) fn listed(title: &str, lines: &[String]) -> String {
    format!("{title}\n\n{}", list(lines))
}

/// A list in Markdown that does not grow without end.
fn list(lines: &[String]) -> String {
    let mut shown: Vec<String> = lines.iter().take(MOST_LINES).map(|line| format!("- {line}")).collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        shown.push(format!("- and {more} more"));
    }
    shown.join("\n")
}
