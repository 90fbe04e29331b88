//! `amend`: rules, decisions and the service, on one machine.
//!
//! Wiring only: arguments to a command, its result to an exit code. Data goes to standard output,
//! everything else to standard error.

mod args;
mod commands;
mod failure;
mod output;
mod setup;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Arguments, failure::Exit, output::Output};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&failure::Failure::new("cannot start", Some(Box::new(error)), None));
            return Exit::Failure.into();
        }
    };
    match runtime.block_on(commands::run(arguments, &output)) {
        Ok(_) if Output::is_lost() => {
            output.failure(&failure::Failure::new("some of the output could not be written", None, None));
            Exit::Failure.into()
        }
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}
