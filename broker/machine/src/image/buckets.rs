//! A map in 256 shared parts: a changed copy clones one part and the table of parts, never the whole map. Read by every
//! core through its image; changed only where an image is made.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Parts of a map. At 100,000 topics one part holds some 400 entries.
const PARTS: usize = 256;

/// Says in which part a key lives. A key and its borrowed form must agree.
pub(super) trait Bucketed {
    /// Any number; its low bits choose the part.
    fn bucket(&self) -> u8;
}

impl Bucketed for str {
    fn bucket(&self) -> u8 {
        fold(FNV_START, self.as_bytes())
    }
}

impl Bucketed for Arc<str> {
    fn bucket(&self) -> u8 {
        (**self).bucket()
    }
}

/// The part that bytes fall in (FNV-1a, folded): the same on every run, unlike the hash of a `HashMap`.
fn fold(start: u32, bytes: &[u8]) -> u8 {
    let hash = bytes.iter().fold(start, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    a ^ b ^ c ^ d
}

const FNV_START: u32 = 0x811c_9dc5;

type Part<K, V> = Arc<BTreeMap<K, Arc<V>>>;

/// The map. Cloning it costs one reference count.
#[derive(Clone, PartialEq)]
pub(super) struct Buckets<K, V> {
    parts: Arc<[Part<K, V>]>,
    count: usize,
}

impl<K, V> Default for Buckets<K, V> {
    fn default() -> Self {
        let empty = Arc::new(BTreeMap::new());
        Self { parts: std::iter::repeat_n(empty, PARTS).collect(), count: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Buckets<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.parts.iter().flat_map(|part| part.iter())).finish()
    }
}

impl<K, V> Buckets<K, V> {
    /// Entries in the map.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All entries; in the same order on every run, but not sorted.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The value of a key.
    pub(super) fn get<Q>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q> + Ord,
        Q: Ord + Bucketed + ?Sized,
    {
        self.parts[usize::from(key.bucket())].get(key)
    }
}

impl<K: Bucketed + Clone + Ord, V> Buckets<K, V> {
    /// Puts a value, replacing the one before.
    pub(super) fn insert(&mut self, key: K, value: Arc<V>) {
        let part = self.part_mut(key.bucket());
        if part.insert(key, value).is_none() {
            self.count += 1;
        }
    }

    /// Takes a value out.
    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Ord + Bucketed + ?Sized,
    {
        self.get(key)?;
        let value = self.part_mut(key.bucket()).remove(key);
        self.count -= usize::from(value.is_some());
        value
    }

    /// The value of a key for a change; it is copied first if another image holds it.
    pub(super) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + Bucketed + ?Sized,
        V: Clone,
    {
        self.get(key)?;
        self.part_mut(key.bucket()).get_mut(key).map(Arc::make_mut)
    }

    fn part_mut(&mut self, bucket: u8) -> &mut BTreeMap<K, Arc<V>> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[usize::from(bucket)])
    }

    /// Calls `changed(key, old, new)` for every key whose value differs. Parts that both maps share are not looked at.
    pub(super) fn diff<'a>(
        &'a self,
        new: &'a Self,
        changed: &mut impl FnMut(&'a K, Option<&'a Arc<V>>, Option<&'a Arc<V>>),
    ) where
        V: PartialEq,
    {
        if Arc::ptr_eq(&self.parts, &new.parts) {
            return;
        }
        for (old_part, new_part) in self.parts.iter().zip(new.parts.iter()) {
            if !Arc::ptr_eq(old_part, new_part) {
                diff(old_part, new_part, changed);
            }
        }
    }
}

/// Calls `changed(key, old, new)` for every key whose value differs between two maps, in key order.
pub(super) fn diff<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, Arc<V>>,
    new: &'a BTreeMap<K, Arc<V>>,
    changed: &mut impl FnMut(&'a K, Option<&'a Arc<V>>, Option<&'a Arc<V>>),
) {
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old_key, _)), Some((new_key, _))) => old_key.cmp(new_key),
        };
        let before = if order.is_le() { olds.next() } else { None };
        let after = if order.is_ge() { news.next() } else { None };
        match (before, after) {
            (Some((key, old)), Some((_, new))) => {
                if !Arc::ptr_eq(old, new) && old != new {
                    changed(key, Some(old), Some(new));
                }
            }
            (Some((key, old)), None) => changed(key, Some(old), None),
            (None, Some((key, new))) => changed(key, None, Some(new)),
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, u32)]) -> Buckets<Arc<str>, u32> {
        let mut map = Buckets::default();
        for &(key, value) in entries {
            map.insert(Arc::from(key), Arc::new(value));
        }
        map
    }

    #[test]
    fn a_changed_copy_leaves_the_first_as_it_was() {
        let first = map(&[("a", 1), ("b", 2)]);
        let mut second = first.clone();
        second.insert(Arc::from("c"), Arc::new(3));
        *second.get_mut("a").unwrap() = 10;
        assert_eq!(second.remove("b").as_deref(), Some(&2));
        assert_eq!(second.remove("b"), None);
        assert_eq!(first, map(&[("b", 2), ("a", 1)]));
        assert_eq!((first.len(), second.len()), (2, 2));
        assert_eq!(second, map(&[("a", 10), ("c", 3)]));
        assert_eq!(format!("{first:?}"), format!("{:?}", map(&[("b", 2), ("a", 1)])));
    }

    #[test]
    fn diff_names_what_changed_and_nothing_else() {
        let old = map(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        let mut new = old.clone();
        new.insert(Arc::from("a"), Arc::new(1));
        new.insert(Arc::from("b"), Arc::new(20));
        new.remove("c");
        new.insert(Arc::from("e"), Arc::new(5));
        let mut seen = Vec::new();
        old.diff(&new, &mut |key, old, new| seen.push((key.to_string(), old.map(|v| **v), new.map(|v| **v))));
        seen.sort();
        let expected = [("b", Some(2), Some(20)), ("c", Some(3), None), ("e", None, Some(5))];
        assert_eq!(seen, expected.map(|(key, old, new)| (key.to_string(), old, new)));
        old.diff(&old.clone(), &mut |_, _, _| panic!("equal maps have no difference"));
    }
}
