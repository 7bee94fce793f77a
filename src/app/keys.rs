//! The master key of a gateway: found, told from a wrong one, and replaced while it serves.
//!
//! A rotation goes in steps, each safe to stop after: the new key lies beside the old one (`master.key.next`); the new
//! one seals and both open; every secret is sealed again; the new file takes the old one's place. A start that finds
//! the file beside the key does the rest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Gateway;
use crate::account::Accounts;
use crate::cli::admin::Failure;
use crate::config::{Config, Engine};
use crate::entropy::Entropy;
use crate::push::Pushes;
use crate::store::{Batch, Record, Store, Table, tables};
use crate::vault::{KeyRing, MasterKey, Sealed};

/// Where the master key lies in the data folder, if nothing else is configured.
pub(crate) const KEY_FILE: &str = "master.key";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Canary {
    pub(super) sealed: Sealed,
}

impl Record for Canary {
    const FORMAT: u8 = 1;
}

/// A value sealed under the master key, by which a wrong key is told before anything is done with it.
pub(super) const CANARY: Table<String, Canary> = Table::new(tables::META);

/// The keys of the store. After a rotation that was cut off, both.
pub(super) async fn open(config: &Config, store: &dyn Store, entropy: &dyn Entropy) -> Result<KeyRing, Failure> {
    let canary = CANARY.get(store, &name()).await?;
    let path = config.storage.path.join(KEY_FILE);
    let key = match &config.security.master_key {
        Some(text) => MasterKey::parse(text)?,
        None if matches!(config.storage.engine, Engine::Memory) => MasterKey::generate(entropy),
        // A new key opens nothing of an old store, and would only hide that the right one is missing.
        None if canary.is_some() && !path.exists() => return Err(Failure(missing(&path))),
        None => MasterKey::read_or_make(&path, entropy)?,
    };
    let mut keys = KeyRing::load(&key);
    if let Some(next) = file(config).map(|file| beside(&file)).filter(|next| next.exists()) {
        keys = keys.with_new_key(&MasterKey::read(&next)?);
    }
    if let Some(canary) = canary {
        keys.check(&canary.sealed)?;
    } else {
        let mut batch = Batch::new();
        CANARY.expect_absent(&mut batch, &name());
        CANARY.put(&mut batch, &name(), &Canary { sealed: keys.canary(entropy) });
        store.commit(batch).await?;
    }
    Ok(keys)
}

/// Does what is left of a rotation that was cut off.
pub(super) async fn settle(
    config: &Config,
    keys: &Arc<KeyRing>,
    (accounts, pushes): (&Accounts, &Pushes),
    store: &dyn Store,
    entropy: &dyn Entropy,
) -> Result<(), Failure> {
    let Some(path) = file(config).filter(|file| beside(file).exists()) else { return Ok(()) };
    accounts.reseal().await?;
    pushes.reseal(keys).await?;
    replace(&path, keys, store, entropy).await?;
    tracing::info!("the master key was replaced: a rotation that had been cut off is complete");
    Ok(())
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Secrets that are sealed under the new key now.
    pub(crate) resealed: usize,
    /// Secrets that no key opened, before either: their accounts need signing in.
    pub(crate) unreadable: usize,
}

/// Makes a new master key and seals every secret under it. The old key opens nothing afterwards.
pub(crate) async fn rotate(gateway: &Gateway) -> Result<Rotated, Failure> {
    let _one_at_a_time = gateway.rotating.lock().await;
    let Some(path) = file(&gateway.config) else {
        let why = "the master key is part of the configuration; put it into a file that this program may replace, and \
                   name that as security.master_key_file";
        return Err(Failure(why.to_owned()));
    };
    let new = MasterKey::read_or_make(&beside(&path), &*gateway.entropy)?;
    let keys = gateway.accounts.seal_with(&new);
    let first = gateway.accounts.reseal().await?;
    gateway.pushes.reseal(&keys).await?;
    // What was sealed just before the keys changed may have been stored just after they were looked through.
    gateway.clock.sleep(STRAGGLERS).await;
    let second = gateway.accounts.reseal().await?;
    gateway.pushes.reseal(&keys).await?;
    replace(&path, &keys, &*gateway.store, &*gateway.entropy).await?;
    Ok(Rotated { resealed: first.resealed + second.resealed, unreadable: second.unreadable })
}

/// From here on only the new key is needed.
async fn replace(path: &Path, keys: &KeyRing, store: &dyn Store, entropy: &dyn Entropy) -> Result<(), Failure> {
    let mut batch = Batch::new();
    CANARY.put(&mut batch, &name(), &Canary { sealed: keys.canary(entropy) });
    store.commit(batch).await?;
    let renamed = || -> io::Result<()> {
        fs::rename(beside(path), path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    renamed().map_err(|error| {
        let (new, old) = (beside(path), path.display());
        Failure(format!("{} can't take the place of {old}: {error}; put it there yourself", new.display()))
    })
}

/// The file that holds the key, unless the key stands in the configuration itself or is kept nowhere.
fn file(config: &Config) -> Option<PathBuf> {
    match (&config.security.master_key_file, &config.security.master_key) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(_)) => None,
        (None, None) if matches!(config.storage.engine, Engine::Memory) => None,
        (None, None) => Some(config.storage.path.join(KEY_FILE)),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

fn name() -> String {
    "canary".to_owned()
}

fn missing(path: &Path) -> String {
    let path = path.display();
    format!("the master key {path} is missing; put it back, or set security.master_key_file to where it is")
}

const STRAGGLERS: Duration = Duration::from_secs(1);
