//! `slipring log`: looks into the files of a data directory for an operator. On the main thread, without a ring; reads only,
//! in steps of bounded size.

mod batches;
mod dump;
mod indexes;
mod journal;
mod out;
mod records;
#[cfg(test)]
mod tests;
mod verify;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use slipring_storage::directory::DirectoryError;
use slipring_storage::inspect::FileSource;

use out::Out;

/// Nothing is wrong.
const EXIT_GOOD: u8 = 0;
/// Something in the files is.
const EXIT_FAULTS: u8 = 1;
/// They could not be looked at.
const EXIT_NOT_DONE: u8 = 2;
/// Largest small file (checkpoint, snapshot) that is read whole.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;

/// About the files of logs.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print what files of a log hold: one line a batch, index entry, producer or checkpoint.
    Dump(DumpArgs),
    /// Check a data directory, or one partition's, while no broker runs; writes nothing.
    ///
    /// One line for each fault, with file and byte. Exit code 0: no faults; 1: faults; 2: could not look.
    Verify(VerifyArgs),
}

/// What to print.
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    /// Segments, indexes, snapshots, checkpoints, journals; a directory stands for the files in it.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Also print every record, and of journals what each commit says of which log.
    #[arg(short, long)]
    pub records: bool,

    /// What the records are; without it the directory's name tells.
    #[arg(long = "as", value_name = "CONTENT")]
    pub content: Option<Content>,

    /// Print at most N bytes of a key, value or header; 0 prints all.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub bytes_max: usize,

    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What to check.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// A data directory, or a partition's directory.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Content {
    /// Keys and values of clients.
    Plain,
    /// KRaft's metadata records.
    Metadata,
    /// Records of `__consumer_offsets`.
    Offsets,
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The output does not take more.
    #[error("writing the output: {0}")]
    Output(io::Error),
    /// A file or directory cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that tells nothing.
    #[error("{}: {reason}", path.display())]
    Unknown {
        /// Which.
        path: PathBuf,
        /// What was expected.
        reason: &'static str,
    },
    /// A broker runs there.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl Failure {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.into(), source }
    }
}

/// Runs a command, prints to standard output, and gives the exit code. A reader that closes the pipe has seen enough.
#[must_use]
pub fn run(command: &LogCommand) -> u8 {
    let json = match command {
        LogCommand::Dump(args) => args.json,
        LogCommand::Verify(args) => args.json,
    };
    let mut out = Out::new(Box::new(io::stdout().lock()), json);
    match run_into(command, &mut out) {
        Ok(code) => code,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_GOOD,
        Err(failure) => {
            _ = out.flush();
            out::complain(&format!("slipring: {failure}"));
            EXIT_NOT_DONE
        }
    }
}

fn run_into(command: &LogCommand, out: &mut Out) -> Result<u8, Failure> {
    match command {
        LogCommand::Dump(args) => dump::run(args, out)?,
        LogCommand::Verify(args) => verify::run(args, out)?,
    }
    out.flush()?;
    Ok(if out.faults() == 0 { EXIT_GOOD } else { EXIT_FAULTS })
}

fn open(path: &Path) -> Result<FileSource, Failure> {
    File::open(path).and_then(FileSource::new).map_err(Failure::file(path))
}

/// A whole small file.
fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    let metadata = fs::metadata(path).map_err(Failure::file(path))?;
    if metadata.len() > SMALL_FILE_BYTES_MAX {
        return Err(Failure::Unknown { path: path.into(), reason: "larger than such a file can be" });
    }
    fs::read(path).map_err(Failure::file(path))
}

/// Names of the entries of a directory, sorted.
fn list(directory: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(directory).map_err(Failure::file(directory))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Failure::file(directory))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// A path's last name; of `.` that of the directory it stands for.
fn name_of(path: &Path) -> String {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
