//! The last resort: what can still be read of a damaged store becomes a new one, and a person has said that the rest
//! may be lost. The damaged files stay beside it, as they were found.
//!
//! Only rows whose checksum holds are taken. The new store has a new epoch, so every client reads everything again
//! instead of trusting numbers that may be missing.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::engine::{self, Direction, Engine, Rows, guarded};
use super::folder::{self, Mark, SCHEMA, own};
use super::open::{Config, EngineKind};
use super::redb::Redb;
use super::sled::Sled;
use super::{Key, KeyRange, OpenError, StoreError, TableId, tables};
use crate::clock::Clock;
use crate::entropy::{self, Entropy};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Rows that are in the new store.
    pub kept: u64,
    /// Rows that were there and could not be read. What was not even found is not counted.
    pub lost: u64,
    /// Where the damaged files are.
    pub aside: PathBuf,
}

/// Makes a new store of what can be read. The store must not be in use.
pub fn salvage(config: &Config, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Salvaged, OpenError> {
    let epoch = entropy::token(entropy, super::open::EPOCH);
    match config.engine {
        EngineKind::Memory => {
            Err(OpenError::Failed { path: config.path.clone(), reason: "memory keeps nothing".to_owned() })
        }
        EngineKind::Sled => salvage_disk::<Sled>(config, clock, &epoch),
        EngineKind::Redb => salvage_disk::<Redb>(config, clock, &epoch),
    }
}

fn salvage_disk<E: Engine>(config: &Config, clock: &dyn Clock, epoch: &str) -> Result<Salvaged, OpenError> {
    let path = config.path.as_path();
    let failed = |error: StoreError| {
        if error.is_full() {
            OpenError::Full { path: path.to_owned() }
        } else {
            OpenError::Failed { path: path.to_owned(), reason: folder::in_words(&error) }
        }
    };
    let _lock = folder::claim(path)?;
    let home = path.join(E::NAME);
    if !home.exists() {
        return Err(OpenError::Failed { path: path.to_owned(), reason: "there are no files to read".to_owned() });
    }
    let now = clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    rebuild::<E>(&home, config.cache, epoch, &now).map_err(failed)
}

fn rebuild<E: Engine>(home: &Path, cache: u64, epoch: &str, now: &str) -> Result<Salvaged, StoreError> {
    // Engines write into what they open; the damaged files must stay as they are.
    let (copy, draft) = (home.with_extension("repairing"), home.with_extension("new"));
    folder::copy_tree::<E>(home, &copy)?;
    folder::remove(&draft)?;
    std::fs::create_dir(&draft)?;
    let old = guarded(|| E::open(&copy, cache))?;
    if let Ok(Some(schema)) = folder::read_own(&old, "schema")
        && schema.as_ref() != SCHEMA.to_be_bytes()
    {
        return Err(StoreError::corrupt("another version of this program wrote it; use that version"));
    }
    let new = guarded(|| E::open(&draft, cache))?;
    let mut tally = Tally { new: &new, kept: 0, lost: 0 };
    for table in 0..u8::MAX {
        if TableId(table) != tables::OWN {
            tally.table(&old, TableId(table))?;
        }
    }
    let own = [own::schema(SCHEMA), own::epoch(epoch), own::commits(0)];
    write(&new, own.iter().map(|(key, value)| (key, value.clone())))?;
    let (kept, lost) = (tally.kept, tally.lost);
    drop((old, new));
    Mark::open(&draft)?.set(0)?;
    folder::sync_tree(&draft)?;
    let aside = home.with_extension(format!("corrupt-{now}"));
    folder::replace(home, &aside)?;
    folder::replace(&draft, home)?;
    folder::remove(&copy)?;
    tracing::warn!(kept, lost, "a damaged store was replaced by what could be read of it");
    Ok(Salvaged { kept, lost, aside })
}

/// Takes rows over, and counts.
struct Tally<'a, E> {
    new: &'a E,
    kept: u64,
    lost: u64,
}

impl<E: Engine> Tally<'_, E> {
    /// From the front as far as that goes, then from the back down to where the front ended.
    fn table(&mut self, old: &E, table: TableId) -> Result<(), StoreError> {
        let mut range = KeyRange::below(&Key::new(table, &()));
        while let Ok(rows) = page(old, &range, Direction::Ascending) {
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range.start = after(last);
            self.take(rows)?;
        }
        self.lost += 1;
        while let Ok(rows) = page(old, &range, Direction::Descending) {
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range.end = last.clone();
            self.take(rows)?;
        }
        Ok(())
    }

    fn take(&mut self, rows: Vec<(Key, Bytes)>) -> Result<(), StoreError> {
        let found = rows.len() as u64;
        let whole: Vec<_> =
            rows.into_iter().filter_map(|(key, framed)| Some((engine::unframe(&key, &framed).ok()?, key))).collect();
        self.kept += whole.len() as u64;
        self.lost += found - whole.len() as u64;
        write(self.new, whole.iter().map(|(value, key)| (key, value.clone())))
    }
}

fn page<E: Engine>(old: &E, range: &KeyRange, direction: Direction) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let many = guarded(|| old.scan(range, PAGE, direction));
    // One bad row spoils its page: what stands before it is reached one by one.
    if many.is_err() { guarded(|| old.scan(range, 1, direction)) } else { many }
}

fn after(key: &Key) -> Key {
    let mut octets = key.as_bytes().to_vec();
    octets.push(0);
    Key::from_bytes(Bytes::from(octets)).unwrap_or_else(|| key.clone())
}

fn write<'a, E: Engine>(engine: &E, rows: impl Iterator<Item = (&'a Key, Bytes)>) -> Result<(), StoreError> {
    let rows: Rows = rows.map(|(key, value)| (key.clone(), Some(engine::frame(key, &value).into()))).collect();
    if rows.is_empty() { Ok(()) } else { guarded(|| engine.write(rows)) }
}

const PAGE: usize = 256;
