//! The check of records that are compressed, or are to be: inflates them through a fixed window, piece by piece, so that neither memory nor a
//! thread's time depends on how large they become. Runs on the connection's core or, for long ones, a helper thread.

use bytes::Bytes;

use super::compression::Compression;
use super::decompress::decompression_memory;
use super::fault::{BatchFault, InvalidBatch};
use super::header::BATCH_HEADER_SIZE;
use super::stream::{Next, RecordStream, RecordsError};
use super::validate::{CheckedBatch, Checker, is_long};

/// A check in progress. Call [`DeepCheck::run`] until it is done; dropping it gives up.
pub struct DeepCheck {
    /// `None` once done.
    checker: Option<Checker>,
    stream: RecordStream<Bytes>,
    memory: usize,
}

/// How far a run came.
#[derive(Debug)]
pub enum Progress {
    /// The budget is spent; run again.
    More,
    /// The verdict.
    Done(Result<CheckedBatch, InvalidBatch>),
}

impl DeepCheck {
    pub(super) fn new(checker: Checker, codec: Compression) -> Result<Self, InvalidBatch> {
        let area = checker.bytes.slice(BATCH_HEADER_SIZE..);
        let memory = decompression_memory(codec, &area);
        let stream = RecordStream::new(codec, area)
            .map_err(|error| BatchFault::Records(RecordsError::Codec(error)))?;
        Ok(Self { checker: Some(checker), stream, memory })
    }

    /// Bytes of codec state that the check may hold beside its window, as far as the data claims: for callers that
    /// reserve memory before they run it.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Header of the batch being checked; `None` once done.
    #[must_use]
    pub fn header(&self) -> Option<&super::BatchHeader> {
        self.checker.as_ref().map(|checker| &checker.header)
    }

    /// Whether it is likely to take longer than a core should spend between two looks at its sockets: see [`is_long`].
    #[must_use]
    pub fn is_long(&self) -> bool {
        let Some(checker) = &self.checker else { return false };
        // Compressing takes several times as long as inflating.
        is_long(&checker.header)
            || (checker.repacker.is_some() && checker.header.size() > REPACKED_ON_CORE_MAX)
    }

    /// Whether the batch is written anew, which takes far more memory while it goes on.
    #[must_use]
    pub fn repacks(&self) -> bool {
        self.checker.as_ref().is_some_and(|checker| checker.repacker.is_some())
    }

    /// Goes on for about `output_budget` bytes of inflated records (at least one window's worth); less when they are to be
    /// compressed again.
    ///
    /// # Panics
    /// When it is run again after it was done.
    pub fn run(&mut self, output_budget: usize) -> Progress {
        let mut checker = self.checker.take().expect("a check that is done is not run again");
        let share = if checker.repacker.is_some() { REPACKED_SHARE } else { 1 };
        match advance(&mut self.stream, &mut checker, (output_budget / share).max(1)) {
            Ok(Next::Spent) => {
                self.checker = Some(checker);
                Progress::More
            }
            Ok(Next::Ready(())) => Progress::Done(checker.finish()),
            Err(fault) => Progress::Done(Err(fault.into())),
        }
    }

    /// Runs to the end: for helper threads, tools and tests.
    ///
    /// # Errors
    /// As [`super::check_produced`].
    pub fn run_to_end(mut self) -> Result<CheckedBatch, InvalidBatch> {
        loop {
            if let Progress::Done(verdict) = self.run(usize::MAX) {
                return verdict;
            }
        }
    }
}

impl std::fmt::Debug for DeepCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeepCheck")
            .field("header", &self.header())
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// Bytes of a batch that a core compresses anew itself: about half a millisecond with gzip.
const REPACKED_ON_CORE_MAX: usize = 8 << 10;
/// How many times longer compressing takes than inflating, roughly.
const REPACKED_SHARE: usize = 16;

/// Walks on until the records end (and nothing is left after them), or the budget does.
fn advance(
    stream: &mut RecordStream<Bytes>,
    checker: &mut Checker,
    mut budget: usize,
) -> Result<Next<()>, BatchFault> {
    while checker.index < checker.header.record_count {
        let (header, repacker) = (&checker.header, &mut checker.repacker);
        let next = match repacker {
            None => stream.next(&mut budget)?,
            Some(repacker) => {
                stream.next_with(&mut budget, |bytes, head| repacker.bytes(header, bytes, head))?
            }
        };
        let Next::Ready(head) = next else {
            return Ok(Next::Spent);
        };
        checker.streamed_record(&head);
    }
    match stream.at_end(&mut budget)? {
        Next::Spent => Ok(Next::Spent),
        Next::Ready(true) => Ok(Next::Ready(())),
        Next::Ready(false) => Err(super::records::RecordError::Trailing(1).into()),
    }
}
