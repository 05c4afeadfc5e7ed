//! The `slipring` binary: command line in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use slipring::cli::{Cli, Command, ConfigCommand, StartArgs};
use slipring::{boot, config};
use tracing_subscriber::EnvFilter;

/// Chooses what is logged, such as `debug` or `slipring::net=debug`.
const LOG_VARIABLE: &str = "SLIPRING_LOG";

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Start(args) => start(&args),
        Command::Config(ConfigCommand::Docs) => {
            print(&config::docs::page());
            ExitCode::SUCCESS
        }
    }
}

fn start(args: &StartArgs) -> ExitCode {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let config = match args.load() {
        Ok((config, warnings)) => {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            config
        }
        Err(error) => return failed(&error),
    };
    match boot::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!("can't start: {error}");
    ExitCode::FAILURE
}

fn print(text: &str) {
    use std::io::Write;
    // A closed pipe is the reader's choice.
    _ = std::io::stdout().write_all(text.as_bytes());
}
