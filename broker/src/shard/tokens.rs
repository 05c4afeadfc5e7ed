//! A table of things that wait for an answer, named by tokens that are never reused: a late or repeated answer finds
//! nothing instead of somebody else's request.

use super::message::Token;

const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// Entries by token. Insert and remove are O(1) and allocate only while the table grows.
pub struct TokenTable<T> {
    entries: Vec<Option<(u64, T)>>,
    free: Vec<usize>,
    inserted: u64,
}

impl<T> Default for TokenTable<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), inserted: 0 }
    }
}

impl<T> TokenTable<T> {
    /// Adds an entry under a new token.
    pub fn insert(&mut self, value: T) -> Token {
        self.inserted += 1;
        let entry = Some((self.inserted, value));
        let index = if let Some(index) = self.free.pop() {
            self.entries[index] = entry;
            index
        } else {
            self.entries.push(entry);
            self.entries.len() - 1
        };
        assert!(index as u64 <= INDEX_MASK, "in-flight limits keep the table far below this");
        Token(self.inserted << INDEX_BITS | index as u64)
    }

    /// The entry of a token, if it still waits.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        match self.entries.get_mut(index_of(token)) {
            Some(Some((serial, value))) if *serial == token.0 >> INDEX_BITS => Some(value),
            _ => None,
        }
    }

    /// Takes the entry of a token, if it still waits.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let index = index_of(token);
        self.free.push(index);
        self.entries[index].take().map(|(_, value)| value)
    }

    /// Entries that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn index_of(token: Token) -> usize {
    usize::try_from(token.0 & INDEX_MASK).expect("24 bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_token_never_finds_a_new_entry() {
        let mut table = TokenTable::default();
        let first = table.insert("a");
        assert_eq!(table.remove(first), Some("a"));
        let second = table.insert("b");
        assert_ne!(first, second);
        assert_eq!((table.remove(first), table.len()), (None, 1));
        assert_eq!(table.get_mut(second), Some(&mut "b"));
    }
}
