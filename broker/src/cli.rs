//! The command line. Parses and hands over; starts nothing. `log` is what `slipring log` does.

pub mod log;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{BrokerConfig, ConfigError, Overrides, Warning};

/// An Apache Kafka compatible broker for NVMe hosts.
#[derive(Debug, Parser)]
#[command(name = "slipring", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the broker and serve until SIGTERM or SIGINT.
    Start(StartArgs),
    /// About configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look into the files of logs.
    #[command(subcommand)]
    Log(log::LogCommand),
}

/// About configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the reference page of all configuration keys, in Markdown.
    Docs,
}

/// Without options: data under ./data, clients on 127.0.0.1:9092, node 1.
#[derive(Args, Clone, Debug, Default)]
pub struct StartArgs {
    /// Configuration file with Apache Kafka's keys (server.properties).
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Set a configuration key, over the file; may be repeated.
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub sets: Vec<(String, String)>,

    /// Keep data under DIR; stands for log.dirs.
    #[arg(short, long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Serve clients on this address; stands for listeners; may be repeated.
    #[arg(short, long, value_name = "PLAINTEXT://HOST:PORT")]
    pub listen: Vec<String>,

    /// Serve on N cores instead of all usable ones; stands for slipring.cores.
    #[arg(long, value_name = "N", value_parser = cores)]
    pub cores: Option<usize>,
}

impl StartArgs {
    /// Reads the configuration that the options name.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn load(&self) -> Result<(BrokerConfig, Vec<Warning>), ConfigError> {
        let overrides =
            Overrides { data_dir: self.data_dir.clone(), listen: self.listen.clone(), cores: self.cores };
        BrokerConfig::load(self.config.as_deref(), &self.sets, &overrides)
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as num.partitions=4".to_owned()),
    }
}

fn cores(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(cores) if cores > 0 => Ok(cores),
        _ => Err("expected a whole number of at least 1; leave it out to use all cores".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn start(words: &str) -> StartArgs {
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        match cli.command {
            Command::Start(args) => args,
            Command::Config(_) | Command::Log(_) => panic!("{words} is a start"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_for_keys() {
        let args = start(
            "slipring start --set num.partitions=4 --set a=b=c --data-dir /d --listen PLAINTEXT://127.0.0.1:1 --cores 2",
        );
        assert_eq!(args.sets, [("num.partitions".into(), "4".into()), ("a".into(), "b=c".into())]);
        let (config, _) = args.load().unwrap();
        assert_eq!(config.log_dirs, [PathBuf::from("/d")]);
        assert_eq!(config.cores, Some(2));
        assert_eq!(config.listeners.opened[0].port, 1);
        assert_eq!(config.topics.partitions, 4);
    }

    #[test]
    fn mistakes_are_answered_with_what_is_expected() {
        let cases = [
            ("slipring start --set num.partitions", "expected KEY=VALUE"),
            ("slipring start --cores 0", "at least 1"),
            ("slipring start --cores many", "at least 1"),
            ("slipring start --data-directory x", "--data-dir"),
            ("slipring stat", "start"),
        ];
        for (words, expected) in cases {
            let error = Cli::try_parse_from(words.split_whitespace()).unwrap_err().to_string();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }
}
