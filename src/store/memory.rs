//! A store that forgets at the end: for tests, simulations and trying the program out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::wake::Wakes;
use super::{Batch, CommitError, Key, KeyRange, Receipt, Store, StoreError, TableId, Wake};

/// Rows in a sorted map.
pub struct MemoryStore {
    epoch: String,
    rows: Mutex<Option<BTreeMap<Key, Bytes>>>,
    wakes: Wakes,
}

impl MemoryStore {
    /// An empty store with a fixed epoch: the same in every run of a simulation.
    pub fn new() -> Self {
        Self::with_epoch("memory".into())
    }

    /// An empty store with an epoch of its own.
    pub fn with_epoch(epoch: String) -> Self {
        Self { epoch, rows: Mutex::new(Some(BTreeMap::new())), wakes: Wakes::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<Key, Bytes>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<Key, Bytes>) -> T) -> Result<T, StoreError> {
        self.lock().as_ref().map(read).ok_or_else(StoreError::closed)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.lock().as_ref().map(BTreeMap::len);
        f.debug_struct("MemoryStore").field("rows", &rows).finish_non_exhaustive()
    }
}

fn bounds(range: KeyRange) -> (Bound<Key>, Bound<Key>) {
    (Bound::Included(range.start), Bound::Excluded(range.end))
}

fn owned((key, value): (&Key, &Bytes)) -> (Key, Bytes) {
    (key.clone(), value.clone())
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.read(|rows| rows.get(key).cloned())
    }

    async fn scan(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        if range.is_empty() {
            return self.read(|_| Vec::new());
        }
        self.read(|rows| rows.range(bounds(range)).take(limit).map(owned).collect())
    }

    async fn scan_back(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        if range.is_empty() {
            return self.read(|_| Vec::new());
        }
        self.read(|rows| rows.range(bounds(range)).rev().take(limit).map(owned).collect())
    }

    async fn walk(&self, pages: mpsc::Sender<Vec<(Key, Bytes)>>) -> Result<(), StoreError> {
        let rows: Vec<_> = self.read(|rows| rows.iter().map(owned).collect())?;
        // Whoever stopped listening has what was wanted.
        let _gone = pages.send(rows).await.is_err();
        Ok(())
    }

    async fn commit(&self, batch: Batch) -> Result<Receipt, CommitError> {
        let mut guard = self.lock();
        let rows = guard.as_mut().ok_or_else(StoreError::closed)?;
        let planned = batch.plan(|key| Ok(rows.get(key).cloned()))?;
        let tables = planned.tables();
        for (key, value) in planned.rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        drop(guard);
        self.wakes.ring(&tables);
        Ok(planned.receipt)
    }

    fn changed(&self, table: TableId) -> Wake {
        self.wakes.take(table)
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    async fn close(&self) -> Result<(), StoreError> {
        *self.lock() = None;
        Ok(())
    }

    fn size_on_disk(&self) -> Option<u64> {
        None
    }
}
