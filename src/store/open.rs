//! From the configuration to a store, and a verdict on one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::disk::Disk;
use super::engine::Engine;
use super::folder::{self, Opening};
use super::redb::Redb;
use super::sled::Sled;
use super::{MemoryStore, OpenError, Store};
use crate::clock::Clock;
use crate::entropy::{self, Entropy};

const CACHE: u64 = 64 << 20;
/// Random octets in an epoch.
pub(super) const EPOCH: usize = 10;

/// Which engine keeps the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Nothing is kept.
    Memory,
    /// The default.
    #[default]
    Sled,
    /// The other one.
    Redb,
}

impl EngineKind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sled => Sled::NAME,
            Self::Redb => Redb::NAME,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The store's part of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which engine.
    pub engine: EngineKind,
    /// The data folder.
    pub path: PathBuf,
    /// Octets that the engine may cache.
    pub cache: u64,
    /// The epoch of a store that is made now: `None` for a random one, `Some` when another store, whose rows it will
    /// hold without any loss, had this.
    pub carried_epoch: Option<String>,
    #[doc(hidden)]
    pub observer: Option<SyncObserver>,
}

impl Config {
    /// The engine's defaults.
    pub fn new(engine: EngineKind, path: impl Into<PathBuf>) -> Self {
        Self { engine, path: path.into(), cache: CACHE, carried_epoch: None, observer: None }
    }
}

/// Told of every sync: after it, and before anyone is told that a commit is durable. For power-loss tests.
#[doc(hidden)]
#[derive(Clone)]
pub struct SyncObserver(Arc<dyn Fn(&Path) + Send + Sync>);

impl SyncObserver {
    /// Calls `told` with the folder that was synced.
    pub fn new(told: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(super) fn synced(&self, folder: &Path) {
        (self.0)(folder);
    }
}

impl fmt::Debug for SyncObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncObserver")
    }
}

/// Opens the store, or makes it when there is none. Blocks: files are read and perhaps repaired.
pub fn open(config: &Config, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Arc<dyn Store>, OpenError> {
    let epoch = config.carried_epoch.clone().unwrap_or_else(|| entropy::token(entropy, EPOCH));
    match config.engine {
        EngineKind::Memory => Ok(Arc::new(MemoryStore::with_epoch(epoch))),
        EngineKind::Sled => open_disk::<Sled>(config, clock, epoch),
        EngineKind::Redb => open_disk::<Redb>(config, clock, epoch),
    }
}

fn open_disk<E: Engine>(config: &Config, clock: &dyn Clock, epoch: String) -> Result<Arc<dyn Store>, OpenError> {
    let (path, cache) = (config.path.as_path(), config.cache);
    let opening = Opening { path, cache, now: clock.now(), make: Some(epoch), thorough: false };
    let (home, _) = folder::open::<E>(&opening)?;
    let disk = Disk::start(home, cache, config.observer.clone());
    let failed = |error: std::io::Error| OpenError::Failed { path: path.to_owned(), reason: error.to_string() };
    Ok(Arc::new(disk.map_err(failed)?))
}

/// What is to be said about the files of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is as it was written.
    Healthy {
        /// How many there are.
        rows: u64,
    },
    /// It was damaged, and is whole again.
    Repaired {
        /// What was wrong and what was done.
        what: String,
    },
    /// It is damaged. The files are as they were found.
    Damaged {
        /// What was found.
        what: String,
        /// What to do.
        way_out: String,
    },
}

/// Reads every row of the store and repairs what can be repaired without loss. The store must not be in use.
pub fn examine(config: &Config, clock: &dyn Clock) -> Result<Verdict, OpenError> {
    match config.engine {
        EngineKind::Memory => Ok(Verdict::Healthy { rows: 0 }),
        EngineKind::Sled => examine_disk::<Sled>(config, clock),
        EngineKind::Redb => examine_disk::<Redb>(config, clock),
    }
}

fn examine_disk<E: Engine>(config: &Config, clock: &dyn Clock) -> Result<Verdict, OpenError> {
    let (path, cache) = (config.path.as_path(), config.cache);
    let opening = Opening { path, cache, now: clock.now(), make: None, thorough: true };
    match folder::open::<E>(&opening) {
        Ok((_, Some(what))) => Ok(Verdict::Repaired { what }),
        Ok((home, None)) => {
            let failed = |reason: String| OpenError::Failed { path: path.to_owned(), reason };
            let verified = super::disk::verify(&home.engine).map_err(|error| failed(error.to_string()))?;
            Ok(Verdict::Healthy { rows: verified.rows })
        }
        Err(OpenError::Damaged { what, way_out, .. }) => Ok(Verdict::Damaged { what, way_out }),
        Err(other) => Err(other),
    }
}
