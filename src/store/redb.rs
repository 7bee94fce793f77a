//! redb 4: the second engine. Its commits are fsynced and its readers see one durable moment by themselves.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::engine::{self, Direction, Engine, Rows};
use super::{Key, KeyRange, StoreError};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const FILE: &str = "rows.redb";
const PAGE: usize = 512;

pub(super) struct Redb {
    /// There until it is dropped.
    database: Option<Database>,
    /// Applied and not yet synced, and what is being synced: redb has one transaction at a time, whose end is a sync.
    applied: Mutex<Rows>,
    syncing: Mutex<Arc<Rows>>,
}

impl Redb {
    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or_else(StoreError::closed)
    }
}

/// redb writes when it is closed, and panics then if the file is damaged. What was acknowledged is on disk by that time.
impl Drop for Redb {
    fn drop(&mut self) {
        let database = self.database.take();
        let closed = engine::guarded(move || {
            drop(database);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the store could not be closed in good order");
        }
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").finish_non_exhaustive()
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::DatabaseAlreadyOpen => Self::locked().because(error),
            redb::Error::Corrupted(_) | redb::Error::TableDoesNotExist(_) | redb::Error::UpgradeRequired(_) => {
                Self::corrupt("the file does not add up").because(error)
            }
            _ => Self::failed("the storage engine refused").because(error),
        }
    }
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    error.into().into()
}

impl Engine for Redb {
    const NAME: &'static str = "redb";

    fn open(folder: &Path, cache: u64) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let mut builder = Database::builder();
        builder.set_cache_size(usize::try_from(cache).unwrap_or(usize::MAX));
        // `create` would take an emptied file for a new one.
        let fresh = !path.try_exists()?;
        let database = if fresh { builder.create(&path) } else { builder.open(&path) }.map_err(failed)?;
        if fresh {
            let transaction = database.begin_write().map_err(failed)?;
            transaction.open_table(ROWS).map_err(failed)?;
            transaction.commit().map_err(failed)?;
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { database: Some(database), applied: Mutex::default(), syncing: Mutex::default() })
    }

    fn needs(_: &str) -> bool {
        true
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let rows = self.database()?.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
        let found = rows.get(key.as_bytes()).map_err(failed)?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn scan(&self, range: &KeyRange, limit: usize, direction: Direction) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let rows = self.database()?.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
        read(&rows, range, limit, direction)
    }

    fn walk(&self, range: &KeyRange, page: &mut dyn FnMut(Vec<(Key, Bytes)>) -> bool) -> Result<(), StoreError> {
        let table = self.database()?.begin_read().map_err(failed)?.open_table(ROWS).map_err(failed)?;
        let mut rest = range.clone();
        loop {
            let rows = read(&table, &rest, PAGE, Direction::Ascending)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            rest = rest.after(last);
            if !page(rows) {
                return Ok(());
            }
        }
    }

    fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        if let Some(row) = lock(&self.applied).get(key) {
            return Ok(row.clone());
        }
        // Once it is no longer here, the table has it.
        if let Some(row) = lock(&self.syncing).get(key) {
            return Ok(row.clone());
        }
        self.get(key)
    }

    fn apply(&self, rows: Rows) -> Result<(), StoreError> {
        lock(&self.applied).extend(rows);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let rows = {
            let mut applied = lock(&self.applied);
            let rows = Arc::new(std::mem::take(&mut *applied));
            *lock(&self.syncing) = Arc::clone(&rows);
            rows
        };
        let mut transaction = self.database()?.begin_write().map_err(failed)?;
        // In one phase the header that names a new root may reach the disk before the longer file does, and a
        // power cut between the two leaves a file that redb refuses to open.
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(ROWS).map_err(failed)?;
            for (key, value) in &*rows {
                match value {
                    Some(value) => drop(table.insert(key.as_bytes(), value.as_ref()).map_err(failed)?),
                    None => drop(table.remove(key.as_bytes()).map_err(failed)?),
                }
            }
        }
        transaction.commit().map_err(failed)?;
        *lock(&self.syncing) = Arc::default();
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(
    table: &redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    range: &KeyRange,
    limit: usize,
    direction: Direction,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = table.range(range.start.as_bytes()..range.end.as_bytes()).map_err(failed)?;
    let mut rows = Vec::new();
    while rows.len() < limit {
        let next = match direction {
            Direction::Ascending => found.next(),
            Direction::Descending => found.next_back(),
        };
        let Some(row) = next else { break };
        let (key, value) = row.map_err(failed)?;
        rows.push((engine::key(Bytes::copy_from_slice(key.value()))?, Bytes::copy_from_slice(value.value())));
    }
    engine::in_order(rows, range, direction)
}
