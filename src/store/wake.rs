//! Being told that rows of a table changed, without asking again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::TableId;

/// Resolves for commits to one table. It says that something changed, never what: read, then wait again.
#[derive(Clone, Debug)]
pub struct Wake {
    seen: watch::Receiver<()>,
}

impl Wake {
    /// Waits for the first commit after this wake was taken or last waited for; several become one.
    /// Never resolves once the store is gone.
    pub async fn wait(&mut self) {
        if self.seen.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }
}

/// The other ends of all wakes.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    tables: Mutex<BTreeMap<TableId, watch::Sender<()>>>,
}

impl Wakes {
    pub(super) fn take(&self, table: TableId) -> Wake {
        let mut tables = self.lock();
        let sender = tables.entry(table).or_insert_with(|| watch::channel(()).0);
        Wake { seen: sender.subscribe() }
    }

    pub(super) fn ring(&self, changed: &BTreeSet<TableId>) {
        let tables = self.lock();
        for sender in changed.iter().filter_map(|table| tables.get(table)) {
            sender.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TableId, watch::Sender<()>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
