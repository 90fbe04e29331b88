//! `amend tickets`: tickets wherever they stand, the tracker that Amend brings with it, what the rules would open.

use std::collections::{BTreeMap, BTreeSet};

use amend_domain::{
    ids::TicketId,
    problem::Closed,
    ticket::{About, LocalTicket, Note, Ticket},
};
use amend_pipeline::{Config, tickets::LOCAL};
use amend_store::{Database, Filter, Store as _, Tickets as _};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{Format, TicketsCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(
    command: Option<TicketsCommand>,
    all: bool,
    limit: u32,
    config: &Config,
    output: Output,
) -> Result<Exit, Failure> {
    match command {
        None => list(all, limit, config, output).await,
        Some(TicketsCommand::Show { ticket }) => show(&ticket, config, output).await,
        Some(TicketsCommand::Comment { ticket, text }) => note(&ticket, "comment", &text, config, output).await,
        Some(TicketsCommand::Close { ticket, why }) => note(&ticket, "closed", &why, config, output).await,
        Some(TicketsCommand::Reopen { ticket, why }) => note(&ticket, "reopened", &why, config, output).await,
        Some(TicketsCommand::Preview) => preview(config, output).await,
    }
}

async fn list(all: bool, limit: u32, config: &Config, output: Output) -> Result<Exit, Failure> {
    let mut rows = rows(all, &setup::existing_store(config).await?).await?;
    let count = rows.len();
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if output.format() == Format::Json {
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        output.say(if all { "there are no tickets" } else { "no ticket is open; `--all` shows those that are closed" });
        return Ok(Exit::Ok);
    }
    table(&rows, output);
    if count > rows.len() {
        output.note(&format!("{} of {}, due first; `--limit` shows more", rows.len(), counted(count, "ticket")));
    }
    Ok(Exit::Ok)
}

/// A ticket, on one line.
#[derive(Serialize)]
pub(super) struct Row {
    id: TicketId,
    tracker: Box<str>,
    /// What its tracker calls it; nothing, where that was not told yet.
    key: Option<Box<str>>,
    url: Option<Box<str>>,
    open: bool,
    title: Box<str>,
    owner: Option<Box<str>>,
    due: Option<Timestamp>,
    problems: usize,
}

/// More tickets than that are not looked through.
const MOST: u32 = 100_000;

/// The tickets, wherever they stand; what is due first comes first.
pub(super) async fn rows(all: bool, store: &Database) -> Result<Vec<Row>, Failure> {
    let local = store.local_tickets(None, MOST).await?;
    let mut rows: Vec<Row> = Vec::new();
    for ticket in store.tickets(MOST).await? {
        let entry = ticket.told.entry.as_ref();
        // What people did in another tracker is known when something is said there next.
        let here = local.iter().find(|one| one.id == ticket.id).map(|one| one.open);
        let open = here.or_else(|| entry.map(|entry| entry.open)).unwrap_or_else(|| ticket.is_open());
        let there = ticket.members.values().filter(|member| member.is_open());
        rows.push(Row {
            key: entry.map(|entry| entry.key.clone()),
            url: entry.and_then(|entry| entry.url.clone()),
            open,
            due: there.clone().filter_map(|member| member.due).min(),
            problems: there.count(),
            id: ticket.id,
            tracker: ticket.tracker,
            title: ticket.title,
            owner: ticket.owner,
        });
    }
    rows.retain(|row| all || row.open);
    rows.sort_by(|one, other| {
        let order = |row: &Row| (!row.open, row.due.is_none(), row.due);
        order(one).cmp(&order(other)).then_with(|| one.id.cmp(&other.id))
    });
    Ok(rows)
}

/// Tickets, one line each.
pub(super) fn table(rows: &[Row], output: Output) {
    let lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let (state, tone) = if row.open { ("open", Tone::Warn) } else { ("closed", Tone::Good) };
            // What was not told yet has no other name.
            let key = row.key.as_deref().unwrap_or(row.id.as_str());
            let local = *row.tracker == *LOCAL && row.key.is_some();
            let place = if local { format!("#{key}") } else { format!("{key} ({})", row.tracker) };
            vec![
                (place, Tone::Plain),
                (state.to_owned(), tone),
                (row.title.to_string(), Tone::Plain),
                (row.problems.to_string(), Tone::Plain),
                (row.owner.as_deref().unwrap_or("nobody").to_owned(), Tone::Plain),
                (row.due.map_or_else(String::new, |due| due.strftime("%Y-%m-%d").to_string()), Tone::Plain),
            ]
        })
        .collect();
    output.table(
        &[
            ("ticket", 8, 16),
            ("state", 6, 8),
            ("title", 24, 60),
            ("problems", 10, 10),
            ("owner", 12, 36),
            ("due", 10, 12),
        ],
        &lines,
    );
}

/// A ticket of Amend's own tracker, by its number, or by the key that Amend finds it by.
async fn one(name: &str, store: &Database) -> Result<Option<LocalTicket>, Failure> {
    Ok(match name.trim_start_matches('#').parse::<u64>() {
        Ok(number) => store.local_ticket_numbered(number).await?,
        Err(_) => match TicketId::parse(name) {
            Some(id) => store.local_ticket(&id).await?,
            None => None,
        },
    })
}

fn missing(name: &str) -> Failure {
    Failure::new(format!("there is no ticket `{name}`"), None, Some("`amend tickets --all` lists them"))
}

/// Whether a ticket is called that: `#1`, `SEC-12`, `SEC-12 (sec)`, `t-…`.
fn is_called(ticket: &Ticket, name: &str) -> bool {
    let key = ticket.told.entry.as_ref().map_or(ticket.id.as_str(), |entry| &entry.key);
    let (plain, tracker) = match name.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((plain, tracker)) => (plain, Some(tracker)),
        None => match name.strip_prefix('#') {
            Some(number) => (number, Some(LOCAL)),
            None => (name, None),
        },
    };
    let named = ticket.id.as_str() == plain || key.eq_ignore_ascii_case(plain);
    named && tracker.is_none_or(|tracker| *ticket.tracker == *tracker)
}

async fn show(name: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let all = store.tickets(MOST).await?;
    let found: Vec<&Ticket> = all.iter().filter(|ticket| is_called(ticket, name)).collect();
    let ticket = match found.as_slice() {
        [] => return Err(missing(name)),
        [one] => *one,
        several => {
            let names: Vec<String> = several.iter().map(|ticket| ticket.id.to_string()).collect();
            let hint = format!("name one of {}, or its tracker, too: `{name} (TRACKER)`", names.join(", "));
            let message = format!("`{name}` is the name of {} tickets", several.len());
            return Err(Failure::new(message, None, Some(&hint)));
        }
    };
    if let Some(local) = store.local_ticket(&ticket.id).await? {
        return show_local(&local, output);
    }
    if output.format() == Format::Json {
        output.json(ticket)?;
        return Ok(Exit::Ok);
    }
    let key = ticket.told.entry.as_ref().map_or("not told yet", |entry| &entry.key);
    output.heading(&format!("{} ({}: {key})", ticket.title, ticket.tracker));
    if let Some(url) = ticket.told.entry.as_ref().and_then(|entry| entry.url.as_deref()) {
        output.line(url);
    }
    output.line(&format!("owner {}", ticket.owner.as_deref().unwrap_or("nobody")));
    for (problem, member) in &ticket.members {
        let state = member.closed.map_or("there", Closed::words);
        output.line(&format!("{problem}  {}: {} ({state})", member.name, member.title));
    }
    if let (Some(at), true) = (ticket.told.telling.as_ref().map(|telling| telling.at), ticket.told.entry.is_none()) {
        output.line(&format!(
            "it is being told since {}; `amend work` says why it is not done",
            at.strftime("%Y-%m-%d %H:%M UTC")
        ));
    }
    Ok(Exit::Ok)
}

fn show_local(ticket: &LocalTicket, output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(ticket)?;
        return Ok(Exit::Ok);
    }
    let state = if ticket.open { "open" } else { "closed" };
    output.heading(&format!("#{} {} ({state})", ticket.number, ticket.title));
    output.line(&ticket.body);
    for Note { at, by, what, text, .. } in &ticket.notes {
        let when = at.strftime("%Y-%m-%d %H:%M UTC");
        output.line("");
        output.line(&output.toned(Tone::Dim, &format!("{what} by {by}, {when}")));
        output.line(text);
    }
    Ok(Exit::Ok)
}

/// What a person says or does. Amend lets it stand.
async fn note(name: &str, what: &str, text: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let ticket = one(name, &store).await?.ok_or_else(|| {
        let hint = "this is for tickets of Amend's own tracker, by number; others are answered where they stand";
        Failure { hint: Some(hint.into()), ..missing(name) }
    })?;
    let open = match what {
        "closed" => false,
        "reopened" => true,
        _ => ticket.open,
    };
    if what != "comment" && open == ticket.open {
        let state = if open { "open" } else { "closed" };
        return Err(Failure::new(format!("ticket {} is {state} already", ticket.number), None, None));
    }
    let by = config.who.name().into();
    let note = Note { at: setup::now(), by, what: what.into(), text: text.into(), id: None };
    let kept = store.note_local_ticket(&ticket.id, note, (what != "comment").then_some(open)).await?;
    let kept = kept.ok_or_else(|| Failure::new(format!("there is no ticket `{name}` any more"), None, None))?;
    match output.format() {
        Format::Json => output.json(&kept)?,
        _ => output.say(&match what {
            "comment" => format!("said in ticket {}", kept.number),
            what => format!("ticket {} is {what}", kept.number),
        }),
    }
    Ok(Exit::Ok)
}

/// What the current rules would open, by rule: for what may be worked on, and for what waits in the backlog, too.
async fn preview(config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let open = store.problems(&Filter { open: Some(true), ..Filter::default() }).await?;
    let mut rules: BTreeMap<String, Preview> = BTreeMap::new();
    for problem in open.iter().filter(|problem| problem.decision.ticket) {
        let decisions = store.decisions(problem.id.as_str()).await?;
        let category = decisions.iter().find_map(|one| one.assessment.recommendation.category.as_deref());
        let id = TicketId::new(&problem.tenant, "preview", &About::of(problem, category));
        let rule = problem.decision.rule.as_ref().map_or_else(String::new, ToString::to_string);
        let preview = rules.entry(rule).or_default();
        match problem.wants_ticket() {
            true => {
                preview.tickets.insert(id.clone());
                preview.problems = preview.problems.saturating_add(1);
            }
            false => preview.waiting = preview.waiting.saturating_add(1),
        }
        preview.all.insert(id);
    }
    if output.format() == Format::Json {
        let rows: Vec<_> = rules
            .iter()
            .map(|(rule, one)| {
                json!({
                    "rule": rule, "tickets": one.tickets.len(), "problems": one.problems,
                    "in_backlog": one.waiting, "tickets_if_released": one.all.len(),
                })
            })
            .collect();
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if rules.is_empty() {
        output.say("no rule asks for a ticket about anything that is there");
        return Ok(Exit::Ok);
    }
    let lines: Vec<_> = rules
        .iter()
        .map(|(rule, one)| {
            let numbers = [one.tickets.len(), one.problems, one.waiting, one.all.len()];
            let numbers = numbers.map(|number| (number.to_string(), Tone::Plain));
            std::iter::once((rule.clone(), Tone::Plain)).chain(numbers).collect()
        })
        .collect();
    output.table(
        &[
            ("rule", 12, 40),
            ("tickets", 9, 10),
            ("problems", 10, 10),
            ("in backlog", 12, 12),
            ("tickets if released", 12, 20),
        ],
        &lines,
    );
    let all: usize = rules.values().map(|one| one.tickets.len()).sum();
    output.note(&format!("{} for all that is open now, before budgets", counted(all, "ticket")));
    Ok(Exit::Ok)
}

/// What a rule would open.
#[derive(Default)]
struct Preview {
    tickets: BTreeSet<TicketId>,
    problems: usize,
    waiting: usize,
    all: BTreeSet<TicketId>,
}
