//! Which release wrote the store last: an upgrade makes a backup first, and an older program does not open what a newer
//! one has written.
//!
//! Rows say their own format and are read in every older one, so an upgrade rewrites nothing at once; but it may write
//! rows that the release before can't read. The backup is for those who go back.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::keys::CANARY;
use crate::cli::admin::{Failure, upkeep};
use crate::clock::Clock;
use crate::config::{Config, Engine};
use crate::failpoint;
use crate::store::{Batch, Record, Store, Table, tables};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    /// The newest release that has had this store open.
    by: String,
}

impl Record for Written {
    const FORMAT: u8 = 1;
}

const WRITTEN: Table<String, Written> = Table::new(tables::META);

/// Makes sure that this release may write here. `Err` says what to do instead.
pub(super) async fn settle(config: &Config, store: &dyn Store, clock: &dyn Clock) -> Result<(), Failure> {
    let (own, name) = (env!("CARGO_PKG_VERSION"), "written".to_owned());
    let before = WRITTEN.get(store, &name).await?.map(|written| written.by);
    if before.as_deref() == Some(own) {
        return Ok(());
    }
    if let Some(newer) = before.as_deref().filter(|before| is_newer(before, own)) {
        return Err(Failure(format!(
            "the store in {} was written by version {newer}, and this is version {own}; run that version, or restore a \
             backup from before the upgrade into an empty folder",
            config.storage.path.display()
        )));
    }
    // The canary is the first row of every store: without it, this one is new.
    let used = CANARY.get(store, &"canary".to_owned()).await?.is_some();
    if used && !matches!(config.storage.engine, Engine::Memory) {
        let folder = config.storage.path.join(format!("before-{own}"));
        back_up(store, clock, &folder).await?;
        failpoint::reach("migrate.step");
    }
    let mut batch = Batch::new();
    WRITTEN.put(&mut batch, &name, &Written { by: own.to_owned() });
    Ok(store.commit(batch).await.map(drop)?)
}

/// A backup that an upgrade before this one left half way stands for this one too: nothing was written since.
async fn back_up(store: &dyn Store, clock: &dyn Clock, folder: &Path) -> Result<(), Failure> {
    if upkeep::holds_backup(folder) {
        return Ok(());
    }
    upkeep::write_backup(store, clock, folder).await.map(drop).map_err(|Failure(why)| {
        Failure(format!("an upgrade makes a backup of the store first, and that failed: {why}; nothing was changed"))
    })?;
    tracing::info!(folder = %folder.display(), "the store was backed up before the upgrade; keep it until all is well");
    Ok(())
}

/// What can't be read as a version is no reason to refuse.
fn is_newer(one: &str, other: &str) -> bool {
    match (numbers(one), numbers(other)) {
        (Some(one), Some(other)) => one > other,
        _ => false,
    }
}

/// `1.2.3`, whatever follows.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Vec<u64> = core.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::MemoryStore;

    async fn written_by(store: &MemoryStore, version: &str) {
        let mut batch = Batch::new();
        WRITTEN.put(&mut batch, &"written".to_owned(), &Written { by: version.to_owned() });
        store.commit(batch).await.unwrap();
    }

    #[tokio::test]
    async fn an_older_program_refuses_what_a_newer_one_wrote() {
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::new(Timestamp::UNIX_EPOCH));
        let config = Config::default();
        settle(&config, &*store, &clock).await.unwrap();
        settle(&config, &*store, &clock).await.unwrap();
        written_by(&store, "99.1.0").await;
        let Failure(why) = settle(&config, &*store, &clock).await.unwrap_err();
        assert!(why.contains("99.1.0") && why.contains(env!("CARGO_PKG_VERSION")) && why.contains("backup"), "{why}");
        written_by(&store, "0.0.9").await;
        settle(&config, &*store, &clock).await.unwrap();
        let now = WRITTEN.get(&*store, &"written".to_owned()).await.unwrap().unwrap();
        assert_eq!(now.by, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (newer, older) in [("0.10.0", "0.9.9"), ("1.0.0", "0.99.99"), ("0.1.1-beta", "0.1.0")] {
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{newer} {older}");
        }
        assert!(!is_newer("0.1.0", "0.1.0") && !is_newer("what", "0.1.0") && !is_newer("1.0", "0.1.0"));
    }

    #[tokio::test]
    async fn an_upgrade_makes_a_backup_first() {
        let folder = tempfile::tempdir().unwrap();
        let (store, clock) = (Arc::new(MemoryStore::new()), ManualClock::new(Timestamp::UNIX_EPOCH));
        let mut config = Config::default();
        config.storage.path = folder.path().to_owned();
        let keys =
            crate::vault::KeyRing::load(&crate::vault::MasterKey::generate(&crate::entropy::SeededEntropy::new(1)));
        let mut batch = Batch::new();
        let canary = super::super::keys::Canary { sealed: keys.canary(&crate::entropy::SeededEntropy::new(2)) };
        CANARY.put(&mut batch, &"canary".to_owned(), &canary);
        store.commit(batch).await.unwrap();
        written_by(&store, "0.0.9").await;
        settle(&config, &*store, &clock).await.unwrap();
        let kept = folder.path().join(format!("before-{}", env!("CARGO_PKG_VERSION")));
        assert!(upkeep::holds_backup(&kept));
        settle(&config, &*store, &clock).await.unwrap();
    }
}
