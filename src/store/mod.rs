//! Ordered, durable key-value storage behind one small trait.
//!
//! Rows are bytes under keys that sort as bytes. Everything that changes them is a [`Batch`]: conditions and
//! changes that are committed together or not at all, and are on disk when [`Store::commit`] returns. Readers see
//! committed, durable state only, and each scan sees one moment of it.
//!
//! The engines are [`memory`], `sled` and `redb`; one suite of laws (`contract`) runs on all of them. [`table`] is the typed
//! layer and the whole schema. This module does not know what a calendar is.

mod batch;
#[doc(hidden)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "laws for tests, in the library only so that the one integration binary can run them"
)]
pub mod contract;
mod disk;
pub mod dump;
mod engine;
mod error;
mod folder;
mod key;
pub mod memory;
mod open;
mod range;
mod record;
mod redb;
pub mod reserve;
mod salvage;
mod sled;
pub mod table;
mod wake;
mod writer;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use batch::{Batch, Expect, Receipt};
pub use error::{CommitError, OpenError, StoreError};
pub use folder::free as free_octets;
pub use key::KeyParts;
pub use memory::MemoryStore;
pub use open::{Config, EngineKind, SyncObserver, Verdict, examine, open};
pub use range::{Key, KeyRange, TableId};
pub use record::Record;
pub use salvage::{Salvaged, salvage};
pub use table::{Table, tables};
pub use wake::Wake;

/// An ordered map with asserted, durable batches.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The row at `key`.
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// Up to `limit` rows of `range`, ascending, all of one moment.
    async fn scan(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError>;

    /// Up to `limit` rows of `range`, descending, all of one moment.
    async fn scan_back(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError>;

    /// Sends all rows of one moment, ascending, in pages; for backups. Commits may have to wait meanwhile, so the
    /// receiver should not be slow. Ends early when the receiver is dropped.
    async fn walk(&self, pages: mpsc::Sender<Vec<(Key, Bytes)>>) -> Result<(), StoreError>;

    /// All of it or none; on disk when it returns. Commits that run at the same time share one sync.
    /// A caller that goes away while it waits leaves the outcome open: the batch may be committed.
    async fn commit(&self, batch: Batch) -> Result<Receipt, CommitError>;

    /// Tells of commits to `table` from now on.
    fn changed(&self, table: TableId) -> Wake;

    /// A random text made with the store, and a new one after a restore: numbers handed out under another epoch
    /// mean nothing here.
    fn epoch(&self) -> &str;

    /// Finishes what was begun and lets the files go; later calls fail with [`StoreError::is_closed`].
    async fn close(&self) -> Result<(), StoreError>;

    /// Octets on disk, where there is one.
    fn size_on_disk(&self) -> Option<u64>;
}
