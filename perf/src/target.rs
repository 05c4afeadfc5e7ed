//! The broker that a run loads, and where its progress is shown.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};

use clap::Args;

/// Which broker.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Address of the broker.
    #[arg(long, default_value = "127.0.0.1:9092", value_parser = address)]
    pub(crate) broker: SocketAddr,
    /// Process of the broker, for its processor time and memory.
    #[arg(long, value_name = "PID")]
    pub(crate) broker_pid: Option<u32>,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Target {
    /// Shows a line of progress.
    pub(crate) fn progress(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "  {line}");
        }
    }
}

/// The first address of a name.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_number_and_by_name() {
        assert_eq!(address("127.0.0.1:9").unwrap(), SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!(address("localhost:9").unwrap().port(), 9);
        assert!(address("127.0.0.1").is_err());
    }
}
