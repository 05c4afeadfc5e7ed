//! A simulated file: what readers see, what is on stable storage, and the changes between the two. Knows no names.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::random::Random;

/// Bytes of a file, sparse; a clone shares blocks until one side writes.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    len: u64,
    blocks: BTreeMap<u64, Arc<[u8; BLOCK]>>,
}

impl Bytes {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads from `offset` into `out` and tells how many bytes there were.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let wanted = (self.len.saturating_sub(offset)).min(out.len() as u64) as usize;
        for (at, piece) in pieces(offset, wanted) {
            let target = &mut out[piece.clone()];
            match self.blocks.get(&(at / BLOCK as u64)) {
                Some(block) => {
                    let start = (at % BLOCK as u64) as usize;
                    target.copy_from_slice(&block[start..start + piece.len()]);
                }
                None => target.fill(0),
            }
        }
        wanted
    }

    /// Writes `data` at `offset`, growing the file if need be.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.len = self.len.max(offset + data.len() as u64);
        self.store(offset, data);
    }

    pub(super) fn resize(&mut self, len: u64) {
        if len < self.len {
            self.blocks.split_off(&len.div_ceil(BLOCK as u64));
            if let Some(block) = self.blocks.get_mut(&(len / BLOCK as u64)) {
                Arc::make_mut(block)[(len % BLOCK as u64) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    fn store(&mut self, offset: u64, data: &[u8]) {
        for (at, piece) in pieces(offset, data.len()) {
            let block = self.blocks.entry(at / BLOCK as u64).or_insert_with(|| Arc::new([0; BLOCK]));
            let start = (at % BLOCK as u64) as usize;
            Arc::make_mut(block)[start..start + piece.len()].copy_from_slice(&data[piece]);
        }
    }
}

/// A change that readers see and stable storage may not have yet.
#[derive(Clone)]
enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    Resize { len: u64 },
}

/// How a crash treats what is not durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mercy {
    /// Everything unsynced is lost.
    None,
    /// Everything unsynced made it.
    All,
    /// Each sector and each change for itself.
    Mixed,
}

impl Mercy {
    pub(super) fn pick(random: &mut Random) -> Mercy {
        match random.below(4) {
            0 => Mercy::None,
            1 => Mercy::All,
            _ => Mercy::Mixed,
        }
    }

    pub(super) fn spares(self, random: &mut Random) -> bool {
        match self {
            Mercy::None => false,
            Mercy::All => true,
            Mercy::Mixed => random.percent(50),
        }
    }
}

/// One file.
#[derive(Clone, Default)]
pub(super) struct Content {
    live: Bytes,
    durable: Bytes,
    changes: Vec<Change>,
}

impl Content {
    pub(super) fn live(&self) -> &Bytes {
        &self.live
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let grows = offset + data.len() as u64 > self.live.len();
        self.live.write(offset, data);
        self.changes.push(Change::Write { offset, data: data.into() });
        if grows {
            self.changes.push(Change::Resize { len: self.live.len() });
        }
    }

    /// A write that is durable by itself: its own bytes and the file's size, nothing else.
    pub(super) fn write_durably(&mut self, offset: u64, data: &[u8]) {
        self.live.write(offset, data);
        self.commit_size();
        self.forget_overwritten(offset, data.len());
        self.durable.store(offset, data);
    }

    /// Only the sectors that chance picks are written: a failed write.
    pub(super) fn write_torn(&mut self, offset: u64, data: &[u8], random: &mut Random) {
        for (at, sector) in sectors(offset, data.len()) {
            if random.percent(50) {
                self.write(at, &data[sector]);
            }
        }
    }

    pub(super) fn resize(&mut self, len: u64) {
        self.live.resize(len);
        self.changes.push(Change::Resize { len });
    }

    pub(super) fn grow_to(&mut self, len: u64) {
        if len > self.live.len() {
            self.resize(len);
        }
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Write { offset, data } => self.durable.write(offset, &data),
                Change::Resize { len } => self.durable.resize(len),
            }
        }
    }

    /// A failed sync: some of what was to be synced will never be, and no later sync will tell.
    pub(super) fn sync_failed(&mut self, random: &mut Random) {
        self.changes.retain(|change| matches!(change, Change::Resize { .. }) || random.percent(50));
    }

    /// Damages the file at rest.
    pub(super) fn poke(&mut self, offset: u64, data: &[u8]) {
        self.live.write(offset, data);
        self.forget_overwritten(offset, data.len());
        self.durable.write(offset, data);
    }

    /// What a power cut leaves: sizes as after some prefix of the size changes, sectors each for itself.
    pub(super) fn after_power_cut(&self, random: &mut Random, mercy: Mercy) -> Content {
        let resizes = self.changes.iter().filter(|change| matches!(change, Change::Resize { .. })).count();
        let mut resizes_kept = match mercy {
            Mercy::None => 0,
            Mercy::All => resizes,
            Mercy::Mixed => random.below(resizes + 1),
        };
        let mut image = self.durable.clone();
        let mut len = image.len();
        for change in &self.changes {
            match change {
                Change::Resize { len: to } if resizes_kept > 0 => {
                    resizes_kept -= 1;
                    image.resize(*to);
                    len = *to;
                }
                Change::Resize { .. } => {}
                Change::Write { offset, data } => {
                    for (at, sector) in sectors(*offset, data.len()) {
                        if mercy.spares(random) {
                            image.write(at, &data[sector]);
                        }
                    }
                }
            }
        }
        image.resize(len);
        Content { live: image.clone(), durable: image, changes: Vec::new() }
    }

    /// Makes the size durable, with every truncation on the way to it.
    fn commit_size(&mut self) {
        let mut kept: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            match change {
                Change::Resize { len } => {
                    self.durable.resize(len);
                    kept.retain_mut(|change| cut_at(change, len));
                }
                write => kept.push(write),
            }
        }
        self.durable.resize(self.live.len());
        self.changes = kept;
    }

    /// Drops what waits for the range: newer bytes are durable there.
    fn forget_overwritten(&mut self, offset: u64, len: usize) {
        let end = offset + len as u64;
        let mut kept = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let Change::Write { offset: start, data } = change else {
                kept.push(change);
                continue;
            };
            let stop = start + data.len() as u64;
            let before = offset.clamp(start, stop);
            let behind = end.clamp(before, stop);
            for (from, to) in [(start, before), (behind, stop)] {
                if from < to {
                    let data = data[(from - start) as usize..(to - start) as usize].into();
                    kept.push(Change::Write { offset: from, data });
                }
            }
        }
        self.changes = kept;
    }
}

/// Cuts a write off at `len`; false when nothing is left of it.
fn cut_at(change: &mut Change, len: u64) -> bool {
    let Change::Write { offset, data } = change else { return true };
    if *offset >= len {
        return false;
    }
    if *offset + data.len() as u64 > len {
        *data = data[..(len - *offset) as usize].into();
    }
    true
}

/// The pieces of `len` bytes at `offset`, cut at blocks: position in the file and range in the data.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    cut(offset, len, BLOCK as u64)
}

/// As [`pieces`], cut at sectors.
fn sectors(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    cut(offset, len, SECTOR_BYTES)
}

fn cut(offset: u64, len: usize, unit: u64) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let step = ((unit - at % unit) as usize).min(len - done);
        done += step;
        Some((at, done - step..done))
    })
}

const BLOCK: usize = 4096;
/// What a device writes whole or not at all.
const SECTOR_BYTES: u64 = 512;
