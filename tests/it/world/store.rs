//! A store that fails, and that can be cut off from whoever uses it: the rows stay, as a disk's do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use lineartime::store::{
    Batch, CommitError, Key, KeyRange, MemoryStore, Receipt, Store, StoreError, TableId, Wake, tables,
};
use tokio::sync::mpsc;

/// What happens to commits.
#[derive(Debug, Default)]
pub struct Dial {
    /// Commits until one fails; negative: none does.
    countdown: AtomicI64,
    /// One has failed.
    failed: AtomicBool,
    /// Once it has failed, every further one fails too.
    stays_broken: AtomicBool,
    /// A task switch before and after every commit, so that a crash or somebody else can come in between.
    pub yields: AtomicBool,
    /// Calls so far.
    pub calls: AtomicU64,
    /// Commits so far.
    pub commits: AtomicU64,
}

/// The store.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    rows: Arc<MemoryStore>,
    dial: Arc<Dial>,
}

impl FaultyStore {
    pub fn new() -> Self {
        Self::over(MemoryStore::new())
    }

    /// With rows that are there already.
    pub fn over(rows: MemoryStore) -> Self {
        let dial = Dial { countdown: AtomicI64::new(-1), ..Dial::default() };
        Self { rows: Arc::new(rows), dial: Arc::new(dial) }
    }

    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// The commit after `n` others fails; with `for_good`, all after it too.
    pub fn fail_after(&self, n: u64, for_good: bool) {
        self.dial.failed.store(false, Ordering::SeqCst);
        self.dial.stays_broken.store(for_good, Ordering::SeqCst);
        self.dial.countdown.store(n.cast_signed(), Ordering::SeqCst);
    }

    /// No commit fails from now on.
    pub fn mend(&self) {
        self.dial.countdown.store(-1, Ordering::SeqCst);
    }

    fn fails(&self) -> bool {
        let left = self.dial.countdown.load(Ordering::SeqCst);
        if left < 0 {
            return false;
        }
        if left > 0 || !self.dial.stays_broken.load(Ordering::SeqCst) {
            self.dial.countdown.store(left - 1, Ordering::SeqCst);
        }
        self.dial.failed.fetch_or(left == 0, Ordering::SeqCst);
        left == 0
    }

    /// Whether one has failed since [`FaultyStore::fail_after`].
    pub fn has_failed(&self) -> bool {
        self.dial.failed.load(Ordering::SeqCst)
    }

    async fn pause(&self) {
        if self.dial.yields.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    fn count(&self) {
        self.dial.calls.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.count();
        self.rows.get(key).await
    }

    async fn scan(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.count();
        self.rows.scan(range, limit).await
    }

    async fn scan_back(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.count();
        self.rows.scan_back(range, limit).await
    }

    async fn walk(&self, pages: mpsc::Sender<Vec<(Key, Bytes)>>) -> Result<(), StoreError> {
        self.rows.walk(pages).await
    }

    async fn commit(&self, batch: Batch) -> Result<Receipt, CommitError> {
        self.count();
        self.pause().await;
        if self.fails() {
            return Err(CommitError::Store(StoreError::damaged(tables::META)));
        }
        let receipt = self.rows.commit(batch).await?;
        self.dial.commits.fetch_add(1, Ordering::SeqCst);
        self.pause().await;
        Ok(receipt)
    }

    fn changed(&self, table: TableId) -> Wake {
        self.rows.changed(table)
    }

    fn epoch(&self) -> &str {
        self.rows.epoch()
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn size_on_disk(&self) -> Option<u64> {
        None
    }
}
