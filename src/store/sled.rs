//! sled 0.34.7: the default engine, with what it lacks added around it.
//!
//! - `flush` writes the log without a real fsync on Linux, so every write is followed by `sync_data` on the log
//!   file, and by a sync of the large values that sled keeps in files of their own.
//! - `flush_every_ms` is set, for the same thread collects the garbage; the cache is bounded (sled's own is 1 GiB).
//! - What was applied is visible in sled before it is durable, and a scan may see half of a batch. So the old rows
//!   are published as `Before` until the sync is done, and readers prefer them: they see one durable moment.
//! - Merge operators, `watch_prefix` and `generate_id` are not used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;

use super::engine::{self, Direction, Engine, Rows};
use super::{Key, KeyRange, StoreError};

const FLUSH_EVERY_MS: u64 = 500;
const LOG: &str = "db";
const PAGE: usize = 512;
const LOCK_TRIES: u32 = 1000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Sled {
    db: sled::Db,
    log: File,
    blobs: PathBuf,
    synced_blobs: Mutex<BTreeSet<std::ffi::OsString>>,
    before: RwLock<Before>,
}

/// The rows as they were before each of the writes that are not yet synced, the oldest write first.
#[derive(Default)]
struct Before {
    writes: VecDeque<Rows>,
    /// So many of them are applied; one more may be on its way.
    applied: usize,
}

impl Before {
    /// A row as of the last sync, if a write has touched it since.
    fn get(&self, key: &Key) -> Option<&Option<Bytes>> {
        self.writes.iter().find_map(|rows| rows.get(key))
    }

    /// All such rows within `range`.
    fn range(&self, range: &KeyRange) -> BTreeMap<&Key, &Option<Bytes>> {
        let bounds = (Bound::Included(&range.start), Bound::Excluded(&range.end));
        self.writes.iter().rev().flat_map(|rows| rows.range(bounds)).collect()
    }

    fn synced(&mut self, writes: usize) {
        self.writes.drain(..writes);
        self.applied -= writes;
    }
}

impl fmt::Debug for Sled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled").finish_non_exhaustive()
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => error.into(),
            sled::Error::Corruption { .. } => Self::corrupt("the log or its index does not add up").because(error),
            sled::Error::CollectionNotFound(_) | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
                Self::failed("the storage engine refused").because(error)
            }
        }
    }
}

impl Engine for Sled {
    const NAME: &'static str = "sled";

    fn open(folder: &Path, cache: u64) -> Result<Self, StoreError> {
        let db = open_when_free(
            &sled::Config::new()
                .path(folder)
                .cache_capacity(cache)
                .flush_every_ms(Some(FLUSH_EVERY_MS))
                .mode(sled::Mode::LowSpace),
        )?;
        let log = File::open(folder.join(LOG))?;
        let blobs = folder.join("blobs");
        let sled = Self { db, log, blobs, synced_blobs: Mutex::default(), before: RwLock::default() };
        // Whatever opening wrote (a fresh snapshot, a truncated tail) is made durable before anything builds on it.
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(folder)?.sync_all()?;
        sled.sync_blobs()?;
        Ok(sled)
    }

    fn needs(name: &str) -> bool {
        // Snapshots only shorten recovery; the log has everything.
        !name.starts_with("snap.")
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let before = self.before();
        match before.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.current(key),
        }
    }

    fn scan(&self, range: &KeyRange, limit: usize, direction: Direction) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let before = self.before();
        self.rows(&before, range, limit, direction)
    }

    fn walk(&self, range: &KeyRange, page: &mut dyn FnMut(Vec<(Key, Bytes)>) -> bool) -> Result<(), StoreError> {
        // Held from the first page to the last, this makes the writer wait: all pages are of one moment.
        let before = self.before();
        let mut rest = range.clone();
        loop {
            let rows = self.rows(&before, &rest, PAGE, Direction::Ascending)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            rest = rest.after(last);
            if !page(rows) {
                return Ok(());
            }
        }
    }

    fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.current(key)
    }

    fn apply(&self, rows: Rows) -> Result<(), StoreError> {
        let mut before = BTreeMap::new();
        for key in rows.keys() {
            before.insert(key.clone(), self.current(key)?);
        }
        self.before_mut().writes.push_back(before);
        let mut batch = sled::Batch::default();
        for (key, value) in &rows {
            match value {
                Some(value) => batch.insert(key.as_bytes(), value.as_ref()),
                None => batch.remove(key.as_bytes()),
            }
        }
        self.db.apply_batch(batch)?;
        self.before_mut().applied += 1;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let applied = self.before().applied;
        self.db.flush()?;
        self.sync_blobs()?;
        self.log.sync_data()?;
        // Only now may readers see it. After an error above they keep seeing what was.
        self.before_mut().synced(applied);
        Ok(())
    }
}

impl Sled {
    fn before(&self) -> RwLockReadGuard<'_, Before> {
        self.before.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn before_mut(&self) -> RwLockWriteGuard<'_, Before> {
        self.before.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        Ok(self.db.get(key.as_bytes())?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn rows(
        &self,
        before: &Before,
        range: &KeyRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Key, Bytes)>, StoreError> {
        if range.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let hidden = before.range(range);
        // Of this many rows at most `hidden` fall away, so the first `limit` of the result are right.
        let enough = limit.saturating_add(hidden.len());
        let bounds = range.start.as_bytes()..range.end.as_bytes();
        let current = self.db.range(bounds);
        let mut rows = match direction {
            Direction::Ascending => collect(current.take(enough), &hidden),
            Direction::Descending => collect(current.rev().take(enough), &hidden),
        }?;
        if !hidden.is_empty() {
            rows.extend(hidden.into_iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
            rows.sort_unstable_by(|(a, _), (b, _)| match direction {
                Direction::Ascending => a.cmp(b),
                Direction::Descending => b.cmp(a),
            });
        }
        rows.truncate(limit);
        engine::in_order(rows, range, direction)
    }

    /// Large values are files beside the log, which sled does not sync.
    fn sync_blobs(&self) -> io::Result<()> {
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeSet::new();
        let mut fresh = false;
        for entry in fs::read_dir(&self.blobs)? {
            let name = entry?.file_name();
            if !synced.contains(&name) {
                match File::open(self.blobs.join(&name)) {
                    Ok(blob) => blob.sync_all()?,
                    // The garbage collector was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                fresh = true;
            }
            found.insert(name);
        }
        *synced = found;
        if fresh {
            File::open(&self.blobs)?.sync_all()?;
        }
        Ok(())
    }
}

/// sled's own threads may hold its lock for a moment after the last handle was dropped. Other processes are kept
/// out by the lock on the data folder, so whoever holds this one is an earlier opening of ours, and lets go soon.
fn open_when_free(config: &sled::Config) -> sled::Result<sled::Db> {
    let mut patience = LOCK_TRIES;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if patience > 0 && error.to_string().contains("could not acquire lock") => {
                patience -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            done => return done,
        }
    }
}

fn collect(
    rows: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    hidden: &BTreeMap<&Key, &Option<Bytes>>,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let mut kept = Vec::new();
    for row in rows {
        let (key, value) = row?;
        let key = engine::key(Bytes::copy_from_slice(&key))?;
        if !hidden.contains_key(&key) {
            kept.push((key, Bytes::copy_from_slice(&value)));
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::super::TableId;
    use super::*;

    /// A sync ends while the write after it is applied: what that one found is then what readers see.
    #[test]
    fn a_sync_leaves_the_rows_from_before_the_next_write() {
        let at = |n: u64| Key::new(TableId(9), &n);
        let row = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let mut before = Before::default();
        before.writes.push_back(Rows::from([(at(1), row("a")), (at(2), row("b"))]));
        before.applied = 1;
        before.writes.push_back(Rows::from([(at(1), row("c")), (at(3), None)]));
        let all = KeyRange::below(&Key::new(TableId(9), &()));
        assert_eq!(before.range(&all), BTreeMap::from([(&at(1), &row("a")), (&at(2), &row("b")), (&at(3), &None)]));
        before.synced(1);
        assert_eq!(before.range(&all), BTreeMap::from([(&at(1), &row("c")), (&at(3), &None)]));
        assert_eq!((before.get(&at(1)), before.get(&at(2)), before.applied), (Some(&row("c")), None, 0));
    }
}
