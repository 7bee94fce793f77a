//! A store on disk: one engine, its readers, and the way to its writer.
//!
//! Commits queue up for the writer (see `writer`), which answers when they are on disk. Reads go to the engine from
//! where they are asked, except long scans, which have a thread of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::engine::{self, Direction, Engine, guarded};
use super::folder::{self, Home};
use super::wake::Wakes;
use super::writer::{Ask, Writer};
use super::{Batch, CommitError, Key, KeyRange, Receipt, Store, StoreError, SyncObserver, TableId, Wake};

/// How many commits may wait for the writer before callers wait to be queued.
const QUEUE: usize = 1024;
/// Scans that find up to this many rows run where they are asked.
const SHORT: usize = 64;

pub(super) struct Disk<E> {
    shared: Arc<Shared<E>>,
    queue: mpsc::Sender<Ask>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

pub(super) struct Shared<E> {
    engine: RwLock<State<E>>,
    epoch: String,
    folder: PathBuf,
    wakes: Wakes,
}

pub(super) enum State<E> {
    Open(E),
    /// It could not be opened again after a failed write, yet.
    Away,
    Closed,
}

impl<E: Engine> Disk<E> {
    /// Takes over an opened home and its lock, and starts the writer.
    pub(super) fn start(home: Home<E>, cache: u64, observer: Option<SyncObserver>) -> std::io::Result<Self> {
        let (queue, asked) = mpsc::channel(QUEUE);
        let Home { engine, epoch, folder, commits, mark, lock } = home;
        let wakes = Wakes::default();
        let shared = Arc::new(Shared { engine: RwLock::new(State::Open(engine)), epoch, folder, wakes });
        let writer = Writer::new(Arc::clone(&shared), cache, (commits, mark), observer, lock)?;
        let thread = std::thread::Builder::new().name(format!("store-{}", E::NAME)).spawn(|| writer.run(asked))?;
        Ok(Self { shared, queue, writer: Mutex::new(Some(thread)) })
    }

    async fn scan_either(
        &self,
        range: KeyRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Key, Bytes)>, StoreError> {
        let scan =
            move |shared: &Shared<E>, limit| shared.read(|engine| checked(engine.scan(&range, limit, direction)?));
        // Most scans that may be long are not: the way to another thread costs more than a few rows in vain.
        let rows = scan(&self.shared, limit.min(SHORT + 1))?;
        if rows.len() <= SHORT || limit <= SHORT + 1 {
            return Ok(rows);
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || scan(&shared, limit)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::failed("a read was given up").because(error)))
}

fn checked(rows: Vec<(Key, Bytes)>) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let open = |(key, framed)| {
        let value = engine::unframe(&key, &framed)?;
        Ok((key, value))
    };
    rows.into_iter().map(open).collect()
}

impl<E: Engine> Shared<E> {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn ring(&self, tables: &BTreeSet<TableId>) {
        self.wakes.ring(tables);
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&E) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.engine.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(engine) => guarded(|| work(engine)),
            State::Away => Err(StoreError::failed("the store could not be opened again after a failed write")),
            State::Closed => Err(StoreError::closed()),
        }
    }

    /// Puts `state` in the place of what was, and lets that go.
    pub(super) fn set(&self, state: State<E>) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let framed = self.read(|engine| engine.get(key))?;
        framed.map(|framed| engine::unframe(key, &framed)).transpose()
    }

    /// What `get` will say when all that was applied is durable.
    pub(super) fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let framed = self.read(|engine| engine.latest(key))?;
        framed.map(|framed| engine::unframe(key, &framed)).transpose()
    }
}

impl<E> Disk<E> {
    /// Waits for the writer's end. A panic there was reported where it happened.
    fn join(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _panicked = thread.is_some_and(|thread| thread.join().is_err());
    }
}

impl<E> fmt::Debug for Disk<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl<E> Drop for Disk<E> {
    fn drop(&mut self) {
        // Without a queue the writer ends; its folder is free for others when this returns.
        let (closed, _) = mpsc::channel(1);
        self.queue = closed;
        self.join();
    }
}

#[async_trait]
impl<E: Engine> Store for Disk<E> {
    async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        self.shared.get(key)
    }

    async fn scan(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.scan_either(range, limit, Direction::Ascending).await
    }

    async fn scan_back(&self, range: KeyRange, limit: usize) -> Result<Vec<(Key, Bytes)>, StoreError> {
        self.scan_either(range, limit, Direction::Descending).await
    }

    async fn walk(&self, pages: mpsc::Sender<Vec<(Key, Bytes)>>) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut damaged = None;
            shared.read(|engine| {
                engine.walk(&folder::everything(), &mut |rows| match checked(rows) {
                    Ok(rows) => pages.blocking_send(rows).is_ok(),
                    Err(error) => {
                        damaged = Some(error);
                        false
                    }
                })
            })?;
            damaged.map_or(Ok(()), Err)
        })
        .await
    }

    async fn commit(&self, batch: Batch) -> Result<Receipt, CommitError> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Ask::Commit(batch, answer)).await.map_err(|_| StoreError::closed())?;
        answered.await.map_err(|_| StoreError::closed())?
    }

    fn changed(&self, table: TableId) -> Wake {
        self.shared.wakes.take(table)
    }

    fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Ask::Close(answer)).await.is_ok() {
            // No answer means that another close was first; either way the writer is through.
            let _closed_already = answered.await.is_err();
        }
        self.join();
        Ok(())
    }

    fn size_on_disk(&self) -> Option<u64> {
        folder::size(&self.shared.folder).ok()
    }
}

/// Reads every row and checks its sum: how many are there, and in which tables some are damaged.
pub(super) fn verify<E: Engine>(engine: &E) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    guarded(|| {
        engine.walk(&folder::everything(), &mut |rows| {
            for (key, framed) in rows {
                verified.rows += 1;
                if engine::unframe(&key, &framed).is_err() {
                    verified.damaged.insert(key.table());
                }
            }
            true
        })
    })?;
    Ok(verified)
}

#[derive(Debug, Default)]
pub(super) struct Verified {
    pub(super) rows: u64,
    pub(super) damaged: BTreeSet<TableId>,
}

impl Verified {
    /// The damage in words, if there is any.
    pub(super) fn damage(&self) -> Option<String> {
        let names: Vec<_> = self.damaged.iter().map(|table| super::table::name(*table)).collect();
        (!names.is_empty()).then(|| format!("rows of these tables do not match their checksums: {}", names.join(", ")))
    }
}
