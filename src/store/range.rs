//! A row's address, and stretches of neighbouring addresses. Byte order is the only order.

use std::fmt;

use bytes::Bytes;

use super::KeyParts;

/// What kind of rows: the first byte of every key. The list of all is [`super::table::tables`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

impl fmt::Debug for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} ({})", self.0, super::table::name(*self))
    }
}

/// The address of one row: its table, then the parts that [`KeyParts`] wrote.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// The row of `table` at `parts`.
    pub fn new<P: KeyParts>(table: TableId, parts: &P) -> Self {
        let mut bytes = vec![table.0];
        parts.write(&mut bytes);
        Self(bytes.into())
    }

    /// A key as an engine or a backup gives it back; `None` when it has not even a table.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// Which kind of row this is.
    pub fn table(&self) -> TableId {
        TableId(self.0.first().copied().unwrap_or(0))
    }

    /// The whole key, the table's byte included: the additional data for what is sealed inside the row.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What follows the table's byte.
    pub fn parts(&self) -> &[u8] {
        self.0.get(1..).unwrap_or_default()
    }

    /// The key of row `number` below this one.
    pub(super) fn numbered(&self, number: u64) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.extend_from_slice(&number.to_be_bytes());
        Self(bytes.into())
    }

    /// The first key after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        let mut bytes = self.0.to_vec();
        bytes.push(0);
        Self(bytes.into())
    }
}

/// Keys hold names that people chose, so only the table and the size are shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {} octets)", super::table::name(self.table()), self.0.len())
    }
}

/// The keys from `start` up to, and without, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key inside.
    pub start: Key,
    /// The first key behind.
    pub end: Key,
}

impl KeyRange {
    /// Everything that begins with `prefix`.
    pub fn below(prefix: &Key) -> Self {
        let mut end = prefix.0.to_vec();
        // The next prefix of this length or shorter; behind table 255 there is only a longer row of FFs.
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end = vec![0xff; prefix.0.len() + 256],
        }
        Self { start: prefix.clone(), end: Key(end.into()) }
    }

    /// The rest of this range behind `key`: where the next page of a scan starts.
    #[must_use]
    pub fn after(self, key: &Key) -> Self {
        let start = key.next().max(self.start);
        Self { start, end: self.end }
    }

    /// The rest of this range before `key`: where the next page of a backward scan starts.
    #[must_use]
    pub fn before(self, key: &Key) -> Self {
        let end = key.clone().min(self.end);
        Self { start: self.start, end }
    }

    /// Whether no key can be inside.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `key` is inside.
    pub fn contains(&self, key: &Key) -> bool {
        *key >= self.start && *key < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Key {
        Key::from_bytes(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_range_below_a_prefix_holds_what_begins_with_it() {
        for prefix in [&[1][..], &[1, 2], &[1, 0xff], &[0xff], &[0xff, 0xff, 0xff]] {
            let range = KeyRange::below(&key(prefix));
            for tail in [&[][..], &[0], &[0xff], &[0xff; 40]] {
                assert!(range.contains(&key(&[prefix, tail].concat())), "{prefix:?} {tail:?}");
            }
        }
        assert!(!KeyRange::below(&key(&[1, 0xff])).contains(&key(&[2])));
        assert!(!KeyRange::below(&key(&[1, 2])).contains(&key(&[1, 3])));
        assert!(!KeyRange::below(&key(&[1, 2])).contains(&key(&[1])));
    }

    #[test]
    fn pages_meet_without_gap_and_overlap() {
        let range = KeyRange::below(&key(&[1]));
        let rest = range.clone().after(&key(&[1, 5]));
        assert!(!rest.contains(&key(&[1, 5])) && rest.contains(&key(&[1, 5, 0])));
        let rest = range.before(&key(&[1, 5]));
        assert!(!rest.contains(&key(&[1, 5])) && rest.contains(&key(&[1, 4, 0xff])));
    }

    #[test]
    fn debug_shows_no_names() {
        let key = Key::new(super::super::tables::USER, &String::from("alice"));
        assert_eq!(format!("{key:?}"), "Key(user, 8 octets)");
    }
}
