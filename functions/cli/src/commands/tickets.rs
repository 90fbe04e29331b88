//! `amend tickets`: the tracker that Amend brings with it, and what the rules would open.

use std::collections::BTreeMap;

use amend_domain::{
    ids::TicketId,
    ticket::{About, LocalTicket, Note},
};
use amend_pipeline::Config;
use amend_store::{Filter, Store as _, Tickets as _};
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
        Some(TicketsCommand::Show { ticket }) => show(&one(&ticket, config).await?, output),
        Some(TicketsCommand::Comment { ticket, text }) => note(&ticket, "comment", &text, config, output).await,
        Some(TicketsCommand::Close { ticket, why }) => note(&ticket, "closed", &why, config, output).await,
        Some(TicketsCommand::Reopen { ticket, why }) => note(&ticket, "reopened", &why, config, output).await,
        Some(TicketsCommand::Preview) => preview(config, output).await,
    }
}

async fn list(all: bool, limit: u32, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let tickets = store.local_tickets((!all).then_some(true), limit).await?;
    if output.format() == Format::Json {
        output.json(&tickets)?;
        return Ok(Exit::Ok);
    }
    if tickets.is_empty() {
        output.say(if all { "there are no tickets" } else { "no ticket is open; `--all` shows those that are closed" });
        return Ok(Exit::Ok);
    }
    table(&tickets, output);
    Ok(Exit::Ok)
}

/// Tickets, one line each.
pub(super) fn table(tickets: &[LocalTicket], output: Output) {
    let rows: Vec<_> = tickets
        .iter()
        .map(|ticket| {
            let (state, tone) = if ticket.open { ("open", Tone::Warn) } else { ("closed", Tone::Good) };
            vec![
                (ticket.number.to_string(), Tone::Plain),
                (state.to_owned(), tone),
                (ticket.title.to_string(), Tone::Plain),
                (ticket.owner.as_deref().unwrap_or("nobody").to_owned(), Tone::Plain),
                (ticket.due.map_or_else(String::new, |due| due.strftime("%Y-%m-%d").to_string()), Tone::Plain),
                (ticket.opened.strftime("%Y-%m-%d").to_string(), Tone::Dim),
            ]
        })
        .collect();
    output.table(
        &[("#", 4, 8), ("state", 8, 8), ("title", 24, 60), ("owner", 12, 40), ("due", 10, 12), ("opened", 10, 12)],
        &rows,
    );
}

/// A ticket by its number, or by the key that Amend finds it by.
async fn one(name: &str, config: &Config) -> Result<LocalTicket, Failure> {
    let store = setup::existing_store(config).await?;
    let found = match name.trim_start_matches('#').parse::<u64>() {
        Ok(number) => store.local_ticket_numbered(number).await?,
        Err(_) => match TicketId::parse(name) {
            Some(id) => store.local_ticket(&id).await?,
            None => None,
        },
    };
    found.ok_or_else(|| {
        Failure::new(format!("there is no ticket `{name}`"), None, Some("`amend tickets --all` lists them, by number"))
    })
}

fn show(ticket: &LocalTicket, output: Output) -> Result<Exit, Failure> {
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
    let ticket = one(name, config).await?;
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
    let store = setup::existing_store(config).await?;
    let kept = store.note_local_ticket(&ticket.id, note, Some(open)).await?;
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

/// What the current rules would open, by rule.
async fn preview(config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let open = store.problems(&Filter { open: Some(true), ..Filter::default() }).await?;
    let mut tickets: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for problem in open.iter().filter(|problem| problem.decision.ticket) {
        let decisions = store.decisions(problem.id.as_str()).await?;
        let category = decisions.iter().find_map(|one| one.assessment.recommendation.category.as_deref());
        let id = TicketId::new(&problem.tenant, "preview", &About::of(problem, category));
        let rule = problem.decision.rule.as_ref().map_or_else(String::new, ToString::to_string);
        let count = tickets.entry(rule).or_default().entry(id.to_string()).or_default();
        *count = count.saturating_add(1);
    }
    let rows: Vec<(String, usize, u64)> =
        tickets.into_iter().map(|(rule, tickets)| (rule, tickets.len(), tickets.values().sum())).collect();
    if output.format() == Format::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(rule, tickets, problems)| json!({ "rule": rule, "tickets": tickets, "problems": problems }))
            .collect();
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        output.say("no rule asks for a ticket about anything that is there");
        return Ok(Exit::Ok);
    }
    let lines: Vec<_> = rows
        .iter()
        .map(|(rule, tickets, problems)| {
            vec![(rule.clone(), Tone::Plain), (tickets.to_string(), Tone::Plain), (problems.to_string(), Tone::Plain)]
        })
        .collect();
    output.table(&[("rule", 12, 40), ("tickets", 8, 10), ("problems", 8, 10)], &lines);
    let all: usize = rows.iter().map(|(_, tickets, _)| tickets).sum();
    output.note(&format!(
        "{} for all that is open now, before budgets; none for what waits in the backlog",
        counted(all, "ticket")
    ));
    Ok(Exit::Ok)
}
