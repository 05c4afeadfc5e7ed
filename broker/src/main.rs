//! The `slipring` binary: command line in, exit code out.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use slipring::boot::{self, Stop};
use slipring::cli::{self, Cli, Command, ConfigCommand, StartArgs};
use slipring::config;
use tracing_subscriber::EnvFilter;

/// Chooses what is logged, such as `debug` or `slipring::net=debug`.
const LOG_VARIABLE: &str = "SLIPRING_LOG";

/// glommio warns of what does not concern the broker, such as buffers of its own that it can't register, on many lines.
const LOG_DEFAULT: &str = "info,glommio=error";
/// Exit code of a stop that could not close everything: the next start recovers.
const EXIT_NOT_CLEAN: u8 = 3;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Start(args) => start(&args),
        Command::Config(ConfigCommand::Docs) => {
            print(&config::docs::page());
            ExitCode::SUCCESS
        }
        Command::Log(command) => ExitCode::from(cli::log::run(&command)),
    }
}

fn start(args: &StartArgs) -> ExitCode {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    // Colours are for people: files, journals and containers get plain text.
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let config = match args.load() {
        Ok((config, warnings)) => {
            for warning in &warnings {
                if warning.is_info() {
                    tracing::info!("{warning}");
                } else {
                    tracing::warn!("{warning}");
                }
            }
            config
        }
        Err(error) => return failed(&error),
    };
    match boot::run(config) {
        Ok(Stop::Clean) => ExitCode::SUCCESS,
        Ok(Stop::NotClean) => ExitCode::from(EXIT_NOT_CLEAN),
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
