//! The commands, one file each.

mod announced;
mod approvals;
mod audit;
mod backlog;
mod catalog;
mod config;
mod connect;
mod date;
mod decide;
mod demo;
mod digest;
mod executor;
mod exempt;
mod explain;
mod fix;
mod hold;
mod import;
mod list;
mod notices;
mod plan;
mod remediations;
mod roles;
mod rules;
mod script;
mod serve;
mod stop;
mod store;
mod sync;
mod tickets;
mod unreadable;
mod work;

use crate::{
    args::{Arguments, Command, ExecutorCommand, StoreCommand},
    failure::{Exit, Failure},
    output::Output,
    setup,
};

/// Runs a command.
pub async fn run(arguments: Arguments, output: &Output) -> Result<Exit, Failure> {
    let output = *output;
    let path = arguments.config.as_deref();
    match arguments.command {
        // Those that look at files alone need no working configuration.
        Command::Config(command) => config::run(&command, path, output),
        Command::Rules(command) => rules::run(command, path, output).await,
        Command::Store { command: Some(StoreCommand::Key) } => store::key(output),
        Command::Executor { command: Some(ExecutorCommand::Key) } => executor::key(output),
        Command::Token { name } => exempt::token(&name, output),
        Command::Demo(demo) => demo::run(&demo, output).await,
        Command::Catalog(command) => catalog::run(command, path, output).await,
        command => {
            let config = setup::config(path, output)?;
            setup::start_log(&config);
            match command {
                Command::Serve(serve) => serve::run(&serve, config, output).await,
                Command::Decide(argument) => decide::run(&argument.file, &config, output).await,
                Command::Import(argument) => import::run(&argument, &config, output).await,
                Command::List(list) => list::run(list, &config, output).await,
                Command::Explain { id } => explain::run(&id, &config, output).await,
                Command::Backlog { command } => backlog::run(command, &config, output).await,
                Command::Plan(plan) => plan::run(&plan, &config, output).await,
                Command::Fix(arguments) => fix::run(&arguments, &config, output).await,
                Command::Script(arguments) => script::run(&arguments, &config, output).await,
                Command::Roles(arguments) => roles::run(&arguments, &config, output),
                Command::Digest(arguments) => digest::run(&arguments, &config, output).await,
                Command::Announced(asked) => announced::run(&asked, &config, output).await,
                Command::Due { problem, on, why } => date::due(&problem, &on, &why, &config, output).await,
                Command::Eta { problem, on, why, none: _ } => {
                    date::eta(&problem, on.as_deref(), why.as_deref(), &config, output).await
                }
                Command::Notices { out } => notices::run(out.as_deref(), &config, output).await,
                Command::Connect { command } => connect::run(command, &config, output).await,
                Command::Sync { command } => sync::run(command, &config, output).await,
                Command::Executor { command } => executor::run(command.as_ref(), &config, output).await,
                Command::Sweep => work::sweep(&config, output).await,
                Command::Tickets { command, all, limit } => tickets::run(command, all, limit, &config, output).await,
                Command::Work { command } => work::run(command, &config, output).await,
                Command::Approvals(plans) => approvals::run(&plans, &config, output).await,
                Command::Approve(answer) => approvals::answer(&answer, None, &config, output).await,
                Command::Deny { answer, why } => approvals::answer(&answer, Some(&why), &config, output).await,
                Command::Hold { id, lasts, why, end, .. } => {
                    hold::run(id.as_deref().zip(lasts.as_deref()).zip(why.as_deref()), end.as_deref(), &config, output)
                        .await
                }
                Command::Exempt(asked) => exempt::run(&asked, &config, output).await,
                Command::Stop { why } => stop::stop(&why, &config, output).await,
                Command::Resume => stop::resume(&config, output).await,
                Command::Store { command } => store::run(command.as_ref(), &config, output).await,
                Command::Audit(command) => audit::run(&command, &config, output).await,
                Command::Recent { id, since } => audit::recent(&id, &since, &config, output).await,
                Command::Undo { id } => fix::undo(&id, &config, output).await,
                Command::Remediations(arguments) => remediations::run(&arguments, &config, output).await,
                Command::Unreadable(command) => unreadable::run(command, &config, output).await,
                Command::Config(_)
                | Command::Rules(_)
                | Command::Demo(_)
                | Command::Catalog(_)
                | Command::Token { .. } => Ok(Exit::Ok),
            }
        }
    }
}
