//! A log's share of a group commit: which of its staged bytes go into the journal, which straight to the segment, and what
//! follows when the commit is done. Owner core only, synchronous.
//!
//! A segment only ever receives whole blocks, each once: a large run is written from the first block not yet handed over
//! up to the last whole one, and only the rest of the last block goes into the journal. So no write can tear bytes of an
//! earlier one.

use slipring_protocol::ids::Offset;

use super::{Log, Mark, Pin, Segment};
use crate::disk::DiskFile;
use crate::limits::block_floor;
use crate::log::segment::FileState;

/// One descriptor's worth of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Into the journal.
    Fragment { segment: Offset, from: u64, to: u64, base_offset: Offset, end_offset: Offset },
    /// Straight into the segment.
    Direct { segment: Offset, from: u64, to: u64, base_offset: Offset, end_offset: Offset, file: DiskFile },
}

impl Part {
    fn fragment_bytes(&self) -> usize {
        match self {
            Part::Fragment { from, to, .. } => (to - from) as usize,
            Part::Direct { .. } => 0,
        }
    }

    fn direct_bytes(&self) -> usize {
        match self {
            Part::Fragment { .. } => 0,
            Part::Direct { from, to, .. } => (to - from) as usize,
        }
    }
}

/// What a commit takes of one log.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) parts: Vec<Part>,
    /// Where the log ends once the commit is done.
    pub(crate) end: Mark,
    /// Staged bytes that are no longer waiting.
    pub(crate) uncommitted: usize,
    /// The fragments repeat all that only the journal holds: older commits no longer matter to this log.
    pub(crate) covers_all: bool,
    pub(crate) fragment_bytes: usize,
    pub(crate) direct_bytes: usize,
}

/// What a log can give to the next commit.
#[derive(Debug)]
pub(crate) enum Offer {
    Nothing,
    /// This.
    Parts(Planned),
    /// Too much for the journal alone, and the file of the segment with this base is not open.
    NeedsFile(Offset),
}

impl Log {
    /// What the next commit would take: everything staged, as far as `fragment_bytes_max` reaches, and with `carry` all that
    /// only the journal holds. `switch_bytes`: from so much on a run goes straight to the segment. Changes nothing.
    pub(crate) fn offer(&self, switch_bytes: usize, fragment_bytes_max: usize) -> Offer {
        if self.fence.is_some() || self.deleting {
            return self.offer_carry();
        }
        let carry = self.carry && self.is_settled();
        let mut parts = Vec::new();
        let mut covers_all = true;
        let mut needs_file = None;
        let mut end = Mark { offset: self.log_end, segment: self.active().base, position: self.active().end };
        let (mut journal_bytes, mut left, mut full) = (0, 0, false);
        for segment in self.segments.range(self.first_open()..) {
            let first = segment.blocks.durable();
            let from = match (carry, segment.staged()) {
                (true, _) if !segment.is_whole() => first.min(segment.journaled),
                (_, 0) => {
                    covers_all &= segment.is_whole();
                    continue;
                }
                _ => segment.journaled,
            };
            let (base_offset, end_offset) = (self.durable.offset.max(segment.base), segment.next);
            let whole = block_floor(segment.end);
            let submitted = segment.blocks.submitted();
            let run = (segment.end - from) as usize;
            let mut fragment_from = from;
            let direct = run >= switch_bytes && whole > submitted;
            let file = if let FileState::Open(file) = &segment.file { Some(file) } else { None };
            let is_direct = direct && file.is_some();
            journal_bytes += PART_ESTIMATE + if is_direct { (segment.end - whole) as usize } else { run };
            if full || (journal_bytes > fragment_bytes_max && !parts.is_empty()) {
                // The rest is for a later commit: many small segments.
                if !full {
                    end = end_before(segment, &parts);
                }
                full = true;
                covers_all = false;
                left += (segment.end - segment.promised.max(segment.journaled)) as usize;
                continue;
            }
            match file.filter(|_| direct) {
                Some(file) => {
                    let (segment, to, file) = (segment.base, whole, file.clone());
                    parts.push(Part::Direct { segment, from: submitted, to, base_offset, end_offset, file });
                    fragment_from = whole;
                }
                None if direct && run > fragment_bytes_max => {
                    needs_file.get_or_insert(segment.base);
                }
                None => {}
            }
            covers_all &= fragment_from <= first;
            if fragment_from < segment.end {
                let (segment, to) = (segment.base, segment.end);
                parts.push(Part::Fragment { segment, from: fragment_from, to, base_offset, end_offset });
            }
        }
        if let Some(base) = needs_file {
            return Offer::NeedsFile(base);
        }
        if parts.is_empty() && carry {
            parts.push(repeat_end(end));
        }
        self.finish_offer(parts, end, covers_all, self.uncommitted - left)
    }

    /// What copying forward takes: all that only the journal holds, nothing staged; at most a partial block unless the log
    /// is fenced. Nothing while blocks can still go to the files instead.
    pub(crate) fn offer_carry(&self) -> Offer {
        if !self.carry || !self.is_settled() {
            return Offer::Nothing;
        }
        if self.end_due {
            return self.finish_offer(vec![repeat_end(self.durable)], self.durable, false, 0);
        }
        let end = if self.fence.is_some() { self.durable } else { self.written };
        let mut parts = Vec::new();
        for segment in self.segments.range(self.first_open()..) {
            let from = segment.blocks.durable();
            if from < segment.promised && segment.promised > segment.on_disk {
                let end_offset = segment.next.min(end.offset);
                let (segment, to) = (segment.base, segment.promised);
                parts.push(Part::Fragment { segment, from, to, base_offset: segment, end_offset });
            }
        }
        if parts.is_empty() {
            parts.push(repeat_end(end));
        }
        self.finish_offer(parts, end, true, 0)
    }

    /// Whether all that could go to the files has gone there: what only the journal holds is a partial block then.
    pub(crate) fn is_settled(&self) -> bool {
        self.fence.is_some() || (self.unwritten() == 0 && !self.is_writing() && !self.needs_flush())
    }

    /// Whether a flush is what keeps bytes from being durable in the files.
    pub(crate) fn needs_flush(&self) -> bool {
        self.segments.range(self.first_open()..).any(|segment| segment.blocks.needs_flush())
    }

    fn finish_offer(&self, parts: Vec<Part>, end: Mark, covers_all: bool, uncommitted: usize) -> Offer {
        if parts.is_empty() {
            return Offer::Nothing;
        }
        let fragment_bytes = parts.iter().map(Part::fragment_bytes).sum();
        let direct_bytes = parts.iter().map(Part::direct_bytes).sum();
        Offer::Parts(Planned { parts, end, uncommitted, covers_all, fragment_bytes, direct_bytes })
    }

    /// The commit takes what was offered.
    pub(crate) fn take(&mut self, planned: &Planned) {
        self.carry = false;
        self.end_due = false;
        self.order += planned.parts.len() as u64;
        self.touched = true;
        if self.fence.is_some() {
            return;
        }
        self.uncommitted -= planned.uncommitted;
        for part in &planned.parts {
            match part {
                // Retention may have taken the segment in which a log without anything newer ends.
                Part::Fragment { from, to, .. } if from == to => {}
                Part::Fragment { segment, to, .. } => {
                    let segment = self.segment_mut(*segment).expect("a planned segment is there");
                    segment.journaled = segment.journaled.max(*to);
                }
                Part::Direct { segment, to, .. } => {
                    let segment = self.segment_mut(*segment).expect("a planned segment is there");
                    segment.blocks.submit(*to);
                    segment.journaled = segment.journaled.max(*to);
                }
            }
        }
    }

    /// A direct write of a commit, or a write-back, is done.
    pub(crate) fn blocks_written(&mut self, segment: Offset, to: u64, durable: bool) {
        if let Some(segment) = self.segment_mut(segment) {
            segment.blocks.complete(to, durable);
        }
    }

    /// All parts of the commit are done, durably or only written. Tells whether the acknowledged end moved.
    pub(crate) fn committed(&mut self, planned: &Planned, sequence: u64, durable: bool) -> bool {
        let pin = Pin { sequence, segment: planned.end.segment, position: planned.end.position };
        if planned.covers_all {
            // Only this commit matters from now on; `release_pins` gives the others back.
            for older in &mut self.pins {
                older.position = 0;
                older.segment = Offset(i64::MIN);
            }
        }
        self.pins.push_back(pin);
        if self.fence.is_some() {
            return false;
        }
        for part in &planned.parts {
            let (Part::Fragment { segment, to, .. } | Part::Direct { segment, to, .. }) = part;
            if let Some(segment) = self.segment_mut(*segment) {
                segment.promised = segment.promised.max(*to);
            }
        }
        self.written = planned.end;
        if durable && !self.needs_flush() {
            self.durable = planned.end;
        }
        self.acknowledge()
    }

    /// Everything below is durable in the files: the segment it lies in and the position there.
    fn in_files(&self) -> (Offset, u64) {
        let open = self.segments.range(self.first_open()..);
        let first = open.clone().find(|segment| !segment.is_whole()).unwrap_or(self.active());
        (first.base, first.in_file().min(first.end))
    }

    /// Gives back the commits that this log no longer needs: `unpin` is called with each one's sequence. The newest stays,
    /// since it tells recovery where the log durably ends.
    pub(crate) fn release_pins(&mut self, mut unpin: impl FnMut(u64)) {
        let in_files = self.in_files();
        while self.pins.len() > 1 {
            let first = self.pins[0];
            if (first.segment, first.position) > in_files {
                break;
            }
            self.pins.pop_front();
            unpin(first.sequence);
        }
    }

    /// Gives all commits back: the log is closed cleanly, cut, moved or deleted.
    pub(crate) fn release_all_pins(&mut self, mut unpin: impl FnMut(u64)) {
        for pin in self.pins.drain(..) {
            unpin(pin.sequence);
        }
    }
}

/// Where the part of the log that comes before `segment` ends, whose last descriptor is the last of `parts`.
fn end_before(segment: &Segment, parts: &[Part]) -> Mark {
    let (Part::Fragment { segment: before, to, .. } | Part::Direct { segment: before, to, .. }) =
        parts.last().expect("a commit takes at least one part of a log");
    Mark { offset: segment.base, segment: *before, position: *to }
}

/// A fragment without bytes: it only says again where the log ends. For recovery that is the last word, also on a direct write
/// that was described before and then failed.
fn repeat_end(end: Mark) -> Part {
    Part::Fragment {
        segment: end.segment,
        from: end.position,
        to: end.position,
        base_offset: end.offset,
        end_offset: end.offset,
    }
}

/// Bytes of a descriptor in a commit, for filling it; the exact bound is taken later.
pub(crate) const PART_ESTIMATE: usize = 112;
