//! A batch: conditions and changes that stand or fall together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use super::{CommitError, Key, StoreError, TableId};

/// What must hold for a row at the moment of the commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Expect {
    /// There is no such row.
    Absent,
    /// There is one, whatever it holds.
    Present,
    /// There is one and it holds exactly this.
    Exactly(Bytes),
}

impl Expect {
    fn holds(&self, found: Option<&Bytes>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Exactly(wanted) => found == Some(wanted),
        }
    }
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Present => f.write_str("Present"),
            Self::Exactly(value) => write!(f, "Exactly({} octets)", value.len()),
        }
    }
}

#[derive(Clone)]
enum Write {
    Put(Key, Bytes),
    Delete(Key),
    Append { counter: Key, prefix: Key, value: Bytes },
}

/// Conditions, which look at the store before the batch, and changes, of which a later one to the same row wins.
#[derive(Clone, Default)]
pub struct Batch {
    expectations: Vec<(Key, Expect)>,
    writes: Vec<Write>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits only if this holds; else [`CommitError::Stale`] and nothing is written.
    pub fn expect(&mut self, key: Key, expect: Expect) -> &mut Self {
        self.expectations.push((key, expect));
        self
    }

    /// Makes the row hold `value`.
    pub fn put(&mut self, key: Key, value: Bytes) -> &mut Self {
        self.writes.push(Write::Put(key, value));
        self
    }

    /// Takes the row away, if there is one.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Adds one to the number (u64, big-endian) under `counter`, and stores `value` under `prefix` followed by
    /// the new number. Several appends get successive numbers; two batches that append never make each other stale.
    pub fn append(&mut self, counter: Key, prefix: Key, value: Bytes) -> &mut Self {
        self.writes.push(Write::Append { counter, prefix, value });
        self
    }

    /// Takes over all of `other`, behind what is here.
    pub fn merge(&mut self, other: Batch) -> &mut Self {
        self.expectations.extend(other.expectations);
        self.writes.extend(other.writes);
        self
    }

    /// Whether nothing is asked and nothing changed.
    pub fn is_empty(&self) -> bool {
        self.expectations.is_empty() && self.writes.is_empty()
    }

    /// About how much it will write.
    pub(super) fn octets(&self) -> usize {
        let octets = |write: &Write| match write {
            Write::Put(key, value) | Write::Append { prefix: key, value, .. } => key.as_bytes().len() + value.len(),
            Write::Delete(key) => key.as_bytes().len(),
        };
        self.writes.iter().map(octets).sum()
    }

    /// What this batch does to the store that `read` shows: the decision that all engines share.
    pub(super) fn plan(
        &self,
        mut read: impl FnMut(&Key) -> Result<Option<Bytes>, StoreError>,
    ) -> Result<Planned, CommitError> {
        for (key, expect) in &self.expectations {
            if !expect.holds(read(key)?.as_ref()) {
                return Err(CommitError::Stale(key.clone()));
            }
        }
        let mut planned = Planned::default();
        for write in &self.writes {
            match write {
                Write::Put(key, value) => planned.set(key.clone(), Some(value.clone())),
                Write::Delete(key) => planned.set(key.clone(), None),
                Write::Append { counter, prefix, value } => {
                    let number = planned.count(counter, &mut read)?;
                    planned.set(prefix.numbered(number), Some(value.clone()));
                    planned.receipt.appended.push(number);
                }
            }
        }
        Ok(planned)
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} expectations, {} changes)", self.expectations.len(), self.writes.len())
    }
}

/// What a commit gave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The number of each [`Batch::append`], in order.
    pub appended: Vec<u64>,
}

/// The rows as a batch leaves them.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) rows: BTreeMap<Key, Option<Bytes>>,
    pub(super) receipt: Receipt,
}

impl Planned {
    fn set(&mut self, key: Key, value: Option<Bytes>) {
        self.rows.insert(key, value);
    }

    fn count(
        &mut self,
        counter: &Key,
        read: &mut impl FnMut(&Key) -> Result<Option<Bytes>, StoreError>,
    ) -> Result<u64, StoreError> {
        let old = match self.rows.get(counter) {
            Some(row) => row.clone(),
            None => read(counter)?,
        };
        let number = match old {
            None => 0,
            Some(bytes) => number(&bytes).ok_or_else(|| StoreError::damaged(counter.table()))?,
        };
        let next = number.checked_add(1).ok_or_else(|| StoreError::damaged(counter.table()))?;
        self.set(counter.clone(), Some(Bytes::copy_from_slice(&next.to_be_bytes())));
        Ok(next)
    }

    pub(super) fn tables(&self) -> BTreeSet<TableId> {
        self.rows.keys().map(Key::table).collect()
    }
}

/// A counter's row.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
