//! The last offset of each key, in a table of fixed size (Kafka's `SkimpyOffsetMap`): keys by a hash of 128 bits only, 24
//! bytes an entry, whatever their length. Pure.
//!
//! Two keys of one hash would be taken for one. Kafka hashes by MD5, whose collisions anyone can make; ours is seeded anew
//! for every cleaning, so that nobody can prepare a pair.

use slipring_protocol::ids::Offset;
use twox_hash::XxHash3_128;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 24;

/// Keys and their last offsets.
#[derive(Clone, Debug)]
pub struct OffsetMap {
    slots: Vec<Slot>,
    seed: u64,
    used: usize,
    used_max: usize,
    /// Everything up to here has been put in; -1 before.
    latest: Offset,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: Offset,
}

const EMPTY: Slot = Slot { hash: [0; 2], offset: Offset(-1) };
/// How full the table gets, in tenths (`log.cleaner.io.buffer.load.factor`).
const LOAD_TENTHS: usize = 9;

impl OffsetMap {
    /// A table of at most `bytes_max` that has room for `keys` where that is less.
    #[must_use]
    pub fn new(bytes_max: usize, keys: usize, seed: u64) -> Self {
        let wanted = keys.saturating_mul(10) / LOAD_TENTHS + 2;
        let slots = (bytes_max / ENTRY_BYTES).min(wanted).max(2);
        let used_max = (slots * LOAD_TENTHS / 10).max(1);
        Self { slots: vec![EMPTY; slots], seed, used: 0, used_max, latest: Offset(-1) }
    }

    /// Whether no further key fits for sure.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.used >= self.used_max
    }

    /// Keys in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether it holds no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The last offset that the table knows of; records beyond it are not judged.
    #[must_use]
    pub const fn latest(&self) -> Offset {
        self.latest
    }

    /// Everything up to `offset` has been put in.
    pub fn set_latest(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    /// Notes a record. Offsets come in rising order. False when the key is new and the table full: nothing changed then.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        if self.slots[at].offset == EMPTY.offset {
            if self.is_full() {
                return false;
            }
            self.used += 1;
        }
        self.slots[at] = Slot { hash, offset };
        true
    }

    /// The last offset of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot.offset != EMPTY.offset).then_some(slot.offset)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = XxHash3_128::oneshot_with_seed(self.seed, key);
        [(hash >> 64) as u64, hash as u64]
    }

    /// The slot of a hash, or the empty one where it belongs. There always is an empty one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let mut at = (hash[0] % self.slots.len() as u64) as usize;
        while self.slots[at].offset != EMPTY.offset && self.slots[at].hash != hash {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

const _: () = assert!(size_of::<Slot>() == ENTRY_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_until_it_is_full() {
        let mut map = OffsetMap::new(10 * ENTRY_BYTES, 1_000, 7);
        for offset in 0..9i64 {
            assert!(map.put(&[offset as u8 % 9], Offset(offset)));
        }
        assert!(map.is_full());
        assert!(!map.put(b"another", Offset(9)), "no room for a tenth of ten");
        assert!(map.put(&[3], Offset(10)), "a known key fits");
        assert_eq!(
            (map.get(&[3]), map.get(&[4]), map.get(b"another")),
            (Some(Offset(10)), Some(Offset(4)), None)
        );
        assert_eq!(map.len(), 9);
    }

    #[test]
    fn few_keys_take_little_memory() {
        let mut map = OffsetMap::new(1 << 30, 100, 7);
        assert!(map.slots.len() < 120);
        assert!((0..100u8).all(|key| map.put(&[key], Offset(i64::from(key)))));
    }
}
