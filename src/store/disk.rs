//! A store on disk: one engine, one writer thread, and group commit between them.
//!
//! Commits queue up; the writer takes what waits, decides each batch in order against the rows and the batches
//! before it, hands the engine the sum as one atomic write with one sync, and only then answers. A batch whose
//! expectation fails is told so and contributes nothing. Reads go to the engine from where they are asked, except
//! long scans, which have a thread of their own.
//!
//! After a failed write nothing in memory is trusted: the engine is opened anew before the next commit.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::engine::{self, Direction, Engine, Rows, guarded};
use super::folder::{self, Home, Mark, own};
use super::wake::Wakes;
use super::{Batch, CommitError, Key, KeyRange, Receipt, Store, StoreError, SyncObserver, TableId, Wake};

/// How many commits may wait for the writer before callers wait to be queued.
const QUEUE: usize = 1024;
/// A group ends with this many batches or octets, so that nobody waits long behind others.
const GROUP: usize = 256;
const GROUP_OCTETS: usize = 4 << 20;
/// Scans that find up to this many rows run where they are asked.
const SHORT: usize = 64;
/// Below this much free space commits are refused, so that the engine itself never meets a full disk, and
/// recovery after a crash still has room.
const RESERVE: u64 = 16 << 20;

pub(super) struct Disk<E> {
    shared: Arc<Shared<E>>,
    queue: mpsc::Sender<Ask>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<E> {
    engine: RwLock<State<E>>,
    epoch: String,
    folder: PathBuf,
    wakes: Wakes,
}

enum State<E> {
    Open(E),
    /// It could not be opened again after a failed write, yet.
    Away,
    Closed,
}

enum Ask {
    Commit(Batch, oneshot::Sender<Result<Receipt, CommitError>>),
    Close(oneshot::Sender<()>),
}

impl<E: Engine> Disk<E> {
    /// Takes over an opened home and its lock, and starts the writer.
    pub(super) fn start(home: Home<E>, cache: u64, observer: Option<SyncObserver>) -> std::io::Result<Self> {
        let (queue, asked) = mpsc::channel(QUEUE);
        let Home { engine, epoch, folder, commits, mark, lock } = home;
        let wakes = Wakes::default();
        let shared = Arc::new(Shared { engine: RwLock::new(State::Open(engine)), epoch, folder, wakes });
        let writer = Writer { shared: Arc::clone(&shared), cache, commits, mark, observer, broken: false, _lock: lock };
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
    fn read<T>(&self, work: impl FnOnce(&E) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.engine.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(engine) => guarded(|| work(engine)),
            State::Away => Err(StoreError::failed("the store could not be opened again after a failed write")),
            State::Closed => Err(StoreError::closed()),
        }
    }

    /// Puts `state` in the place of what was, and lets that go.
    fn set(&self, state: State<E>) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let framed = self.read(|engine| engine.get(key))?;
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

struct Writer<E> {
    shared: Arc<Shared<E>>,
    cache: u64,
    commits: u64,
    mark: Mark,
    observer: Option<SyncObserver>,
    broken: bool,
    _lock: std::fs::File,
}

type Answer = oneshot::Sender<Result<Receipt, CommitError>>;

/// What a group of batches comes to.
#[derive(Default)]
struct Group {
    rows: Rows,
    tables: BTreeSet<TableId>,
    accepted: Vec<(Answer, Receipt)>,
    /// Answered after the write: what made a batch stale must be readable by whoever is told so.
    stale: Vec<(Answer, CommitError)>,
}

impl<E: Engine> Writer<E> {
    fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        while let Some(first) = asked.blocking_recv() {
            let mut closing = None;
            let mut waiting = Vec::new();
            let mut octets = 0;
            let mut next = Some(first);
            while let Some(ask) = next {
                match ask {
                    Ask::Commit(batch, answer) => {
                        octets += batch.octets();
                        waiting.push((batch, answer));
                    }
                    Ask::Close(answer) => {
                        closing = Some(answer);
                        break;
                    }
                }
                let room = waiting.len() < GROUP && octets < GROUP_OCTETS;
                next = if room { asked.try_recv().ok() } else { None };
            }
            self.commit(waiting, octets);
            if let Some(answer) = closing {
                asked.close();
                self.shared.set(State::Closed);
                drop(self);
                // Whoever closed may be gone.
                let _gone = answer.send(()).is_err();
                return;
            }
        }
        self.shared.set(State::Closed);
    }

    fn commit(&mut self, waiting: Vec<(Batch, Answer)>, octets: usize) {
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = self.ready(octets) {
            refuse(waiting.into_iter().map(|(_, answer)| answer), &error);
            return;
        }
        let group = self.decide(waiting);
        let written = if group.accepted.is_empty() { Ok(()) } else { self.write(&group) };
        match written {
            Ok(()) => {
                self.shared.wakes.ring(&group.tables);
                let accepted = group.accepted.into_iter().map(|(answer, receipt)| (answer, Ok(receipt)));
                let stale = group.stale.into_iter().map(|(answer, error)| (answer, Err(error)));
                for (answer, outcome) in accepted.chain(stale) {
                    // Whoever asked may be gone; the commit stands.
                    let _gone = answer.send(outcome).is_err();
                }
            }
            Err(error) => {
                tracing::error!(error = %error, reason = ?error, "a commit failed; the store will be opened anew");
                self.broken = true;
                let accepted = group.accepted.into_iter().map(|(answer, _)| answer);
                refuse(accepted.chain(group.stale.into_iter().map(|(answer, _)| answer)), &error);
            }
        }
    }

    /// Whether a commit can be tried: room on the disk, and an engine that can be trusted.
    fn ready(&mut self, octets: usize) -> Result<(), StoreError> {
        let needed = RESERVE.saturating_add(2 * octets as u64);
        if folder::free(&self.shared.folder).is_some_and(|free| free < needed) {
            return Err(StoreError::full());
        }
        if !self.broken {
            return Ok(());
        }
        // Two must not have the files open at once.
        self.shared.set(State::Away);
        let opened = guarded(|| E::open(&self.shared.folder, self.cache))?;
        self.commits = folder::commits(&opened)?;
        self.shared.set(State::Open(opened));
        self.broken = false;
        Ok(())
    }

    fn decide(&self, waiting: Vec<(Batch, Answer)>) -> Group {
        let mut group = Group::default();
        for (batch, answer) in waiting {
            let planned = batch.plan(|key| match group.rows.get(key) {
                Some(row) => Ok(row.clone()),
                None => self.shared.get(key),
            });
            match planned {
                Ok(planned) => {
                    group.tables.extend(planned.tables());
                    group.rows.extend(planned.rows);
                    group.accepted.push((answer, planned.receipt));
                }
                Err(error) => group.stale.push((answer, error)),
            }
        }
        group
    }

    fn write(&mut self, group: &Group) -> Result<(), StoreError> {
        let commits = self.commits + group.accepted.len() as u64;
        let mut rows: Rows = group
            .rows
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().map(|value| engine::frame(key, value).into())))
            .collect();
        let (key, value) = own::commits(commits);
        rows.insert(key.clone(), Some(engine::frame(&key, &value).into()));
        self.shared.read(|engine| engine.write(&rows))?;
        self.commits = commits;
        if let Some(observer) = &self.observer {
            observer.synced(&self.shared.folder);
        }
        // Not needed for durability: it lets the next opening see that nothing acknowledged is missing.
        if let Err(error) = self.mark.set(commits) {
            tracing::warn!(error = %error, "the count of acknowledged commits could not be noted");
        }
        Ok(())
    }
}

fn refuse(answers: impl Iterator<Item = Answer>, error: &StoreError) {
    for answer in answers {
        // Whoever asked may be gone.
        let _gone = answer.send(Err(CommitError::Store(error.clone()))).is_err();
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
