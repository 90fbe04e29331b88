//! How results look: tables for people, tab-separated lines for shells, JSON for programs.
//!
//! Data goes to standard output, everything else to standard error. Understandable without colour,
//! which `NO_COLOR` and a pipe switch off.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use amend_catalog::Mistakes;
use amend_pipeline::rows::ProblemRow;
use amend_service::one_line;
use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use crate::{args::Format, failure::Failure};

/// Writes results in one format.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

/// Below this width of the terminal the decision table becomes cards.
const CARDS_BELOW: u16 = 144;

/// Whether some output could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// A text from elsewhere, without what a terminal would obey.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// What a cell says beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// Look here first.
    Alarm,
    /// Look here.
    Warn,
    /// All is well.
    Good,
    /// Less important.
    Dim,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Alarm => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Self::Warn => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Self::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Self::Dim => Style::new().dimmed(),
        }
    }

    fn cell(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        match self {
            Self::Plain => cell,
            Self::Alarm => cell.fg(comfy_table::Color::Red).add_attribute(comfy_table::Attribute::Bold),
            Self::Warn => cell.fg(comfy_table::Color::Yellow),
            Self::Good => cell.fg(comfy_table::Color::Green),
            Self::Dim => cell.add_attribute(comfy_table::Attribute::Dim),
        }
    }
}

/// How urgent a level is.
pub fn level_tone(level: Option<&str>) -> Tone {
    match level {
        Some("critical") => Tone::Alarm,
        Some("high") => Tone::Warn,
        Some(_) => Tone::Plain,
        None => Tone::Dim,
    }
}

impl Output {
    /// Writes in `format`.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// The format.
    pub fn format(self) -> Format {
        self.format
    }

    /// Writes a line of data.
    pub fn line(self, text: &str) {
        if let Err(error) = writeln!(anstream::stdout().lock(), "{text}") {
            // A closed pipe is the reader's way to say "enough"; anything else loses what was asked for.
            LOST.fetch_or(error.kind() != std::io::ErrorKind::BrokenPipe, Ordering::Relaxed);
        }
    }

    /// Whether some output could not be written.
    pub fn is_lost() -> bool {
        LOST.load(Ordering::Relaxed)
    }

    /// Writes a line that is no data, for people: not in JSON.
    pub fn say(self, text: &str) {
        if self.format != Format::Json {
            self.line(text);
        }
    }

    /// Writes a note to standard error.
    pub fn note(self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Writes a heading, for people.
    pub fn heading(self, text: &str) {
        if self.format == Format::Human {
            let bold = Style::new().bold();
            self.line(&format!("{bold}{text}{bold:#}"));
        }
    }

    /// Writes `text` in a tone, for people.
    pub fn toned(self, tone: Tone, text: &str) -> String {
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }

    /// A bar for work of this many steps, on standard error, for people at a terminal.
    pub fn progress(self, steps: usize, what: &str) -> ProgressBar {
        if self.format != Format::Human {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {elapsed}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what.to_owned())
    }

    /// Writes a value as JSON.
    pub fn json<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new("a result cannot be written as JSON", Some(Box::new(error)), None))?;
        self.line(&text);
        Ok(())
    }

    /// Writes a table: columns with their least and most widths, then rows.
    pub fn table(self, columns: &[(&str, u16, u16)], rows: &[Vec<(String, Tone)>]) {
        match self.format {
            Format::Json => {}
            Format::Plain => {
                self.line(&columns.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join("\t"));
                for row in rows {
                    self.line(
                        &row.iter().map(|(text, _)| text.replace(['\t', '\n'], " ")).collect::<Vec<_>>().join("\t"),
                    );
                }
            }
            Format::Human => {
                let mut table = Table::new();
                table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
                // Said here, as a table without colours does not ask the terminal any more.
                let width = if table.is_tty() { table.width() } else { Some(160) };
                if let Some(width) = width {
                    table.set_width(width);
                }
                if anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never {
                    table.force_no_tty();
                }
                table.set_header(
                    columns.iter().map(|(name, _, _)| Cell::new(name).add_attribute(comfy_table::Attribute::Bold)),
                );
                // Each column has a space at both sides.
                let least = columns.iter().map(|(_, least, _)| least.saturating_add(2));
                let least_width = least.fold(0, u16::saturating_add);
                // Where the columns do not fit as they should, the table finds its own way.
                if table.width().is_none_or(|width| width >= least_width) {
                    table.set_constraints(columns.iter().map(|(_, least, most)| ColumnConstraint::Boundaries {
                        lower: Width::Fixed(*least),
                        upper: Width::Fixed(*most),
                    }));
                }
                for row in rows {
                    table.add_row(row.iter().map(|(text, tone)| tone.cell(text)));
                }
                self.line(&table.to_string());
            }
        }
    }

    /// Writes problems as the decision table: most urgent first.
    pub fn problems(self, problems: &[ProblemRow], now: Timestamp) -> Result<(), Failure> {
        if self.format == Format::Json {
            return self.json(&problems);
        }
        if self.format == Format::Human && Table::new().width().is_some_and(|width| width < CARDS_BELOW) {
            problems.iter().for_each(|problem| self.card(problem, now));
            return Ok(());
        }
        let columns = [
            ("id", 10, 12),
            ("resource", 16, 34),
            ("recommendation", 24, 56),
            ("risk", 10, 12),
            ("rule", 12, 24),
            ("owner", 16, 40),
            ("due", 12, 14),
            ("action", 14, 24),
            ("why", 20, 60),
        ];
        let rows: Vec<_> = problems.iter().map(|problem| problem_row(problem, now)).collect();
        self.table(&columns, &rows);
        Ok(())
    }

    /// Writes a problem in a few lines, where a table would not fit.
    fn card(self, problem: &ProblemRow, now: Timestamp) {
        let row = problem_row(problem, now);
        let cell = |at: usize| row.get(at).map_or(("", Tone::Plain), |(text, tone)| (text.as_str(), *tone));
        let [id, resource, recommendation, risk, rule, owner, due, action, why] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(cell);
        let one_line = |text: &str| text.replace('\n', ", ");
        self.line(&format!(
            "{}  {}  {}",
            self.toned(risk.1, &format!("{:<10}", risk.0)),
            one_line(resource.0),
            self.toned(Tone::Dim, id.0)
        ));
        self.line(&format!("            {}", one_line(recommendation.0)));
        for (name, (text, tone)) in [("rule", rule), ("owner", owner), ("due", due), ("action", action), ("why", why)] {
            self.line(&format!("            {name:<7} {}", self.toned(tone, &one_line(text))));
        }
        self.line("");
    }

    /// Writes a failure to standard error.
    pub fn failure(self, failure: &Failure) {
        if self.format == Format::Json {
            let body = serde_json::json!({
                "error": failure.message,
                "cause": failure.cause.as_ref().map(ToString::to_string),
                "hint": failure.hint,
                "mistakes": failure.mistakes.as_ref().map(Mistakes::list),
            });
            return self.note(&body.to_string());
        }
        if let Some(mistakes) = &failure.mistakes {
            self.mistakes(mistakes);
        }
        let error = self.toned(Tone::Alarm, "error:");
        self.note(&format!("{error} {}", clean(&failure.message)));
        if let Some(cause) = &failure.cause {
            self.note(&format!("  caused by: {}", clean(&cause.to_string())));
        }
        if let Some(hint) = &failure.hint {
            let word = self.toned(Tone::Good, "hint:");
            self.note(&format!("\n{word} {hint}"));
        }
    }

    /// Writes mistakes to standard error, each with its place in the file.
    pub fn mistakes(self, mistakes: &Mistakes) {
        for mistake in mistakes.list() {
            match self.format {
                Format::Json => {}
                Format::Plain => self.note(&one_line(mistake)),
                Format::Human => {
                    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
                    let theme = if colour {
                        miette::GraphicalTheme::unicode()
                    } else {
                        miette::GraphicalTheme::unicode_nocolor()
                    };
                    let mut text = String::new();
                    let handler =
                        miette::GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_width(100);
                    if handler.render_report(&mut text, mistake).is_ok() {
                        self.note(text.trim_end_matches('\n'));
                    } else {
                        self.note(&one_line(mistake));
                    }
                }
            }
        }
    }
}

fn problem_row(problem: &ProblemRow, now: Timestamp) -> Vec<(String, Tone)> {
    let risk = match (&problem.risk, &problem.severity) {
        (Some(risk), _) => (risk.clone(), level_tone(Some(risk))),
        // A severity is never shown as risk.
        (None, Some(severity)) => (format!("– ({severity})"), level_tone(Some(severity))),
        (None, None) => ("–".to_owned(), Tone::Dim),
    };
    let owner = match &problem.owner {
        Some(owner) => (owner.clone(), Tone::Plain),
        None => (format!("– ({})", problem.owner_from), Tone::Dim),
    };
    let due = match (&problem.due, problem.overdue) {
        (None, _) => ("–".to_owned(), Tone::Dim),
        (Some(due), true) => (date(*due), Tone::Alarm),
        (Some(due), false) if problem.place == "backlog" => (format!("({})", date(*due)), Tone::Dim),
        (Some(due), false) if due.duration_since(now).as_hours() < 48 => (date(*due), Tone::Warn),
        (Some(due), false) => (date(*due), Tone::Plain),
    };
    let state = if problem.state == "open" { String::new() } else { format!("\n{}", problem.state) };
    let where_ = problem.account.as_ref().map(|account| short_account(account)).unwrap_or_default();
    let again = if problem.period > 1 {
        format!("\n(came back, {}×)", problem.period.saturating_sub(1))
    } else {
        String::new()
    };
    let undetermined = problem.rule.ends_with("(undetermined)");
    vec![
        // Enough of the id to name it to `amend explain`.
        (problem.id.chars().take(8).collect(), Tone::Dim),
        (format!("{}\n{} {where_}", problem.resource, problem.cloud), Tone::Plain),
        (format!("{}{again}", problem.recommendation), Tone::Plain),
        risk,
        (problem.rule.clone(), if undetermined { Tone::Warn } else { Tone::Plain }),
        owner,
        due,
        (format!("{}{state}", problem.action), if problem.state == "open" { Tone::Plain } else { Tone::Good }),
        (problem.why.clone(), Tone::Dim),
    ]
}

/// An account without our prefix; of a GUID, the first eight digits.
fn short_account(account: &str) -> String {
    let name = account.rsplit(['/', ':']).next().unwrap_or(account);
    if amend_domain::ids::is_guid(name) { name.chars().take(8).collect() } else { name.to_owned() }
}

/// `1 problem`, `2 problems`.
pub fn counted(count: usize, thing: &str) -> String {
    let end = if thing.ends_with('x') { "es" } else { "s" };
    format!("{count} {thing}{}", if count == 1 { "" } else { end })
}

/// A moment's date, UTC.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
