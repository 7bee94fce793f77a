//! Group commit: one thread that decides and applies, and one that makes durable and answers.
//!
//! The writer takes the batches that wait, decides each in order against the rows and the batches before it, and
//! applies the sum to the engine. A batch whose expectation fails contributes nothing. The settler makes durable all that was
//! applied by then with one sync, and only then lets readers see it and answers. So what comes in while one group is
//! synced is applied meanwhile, and the next sync is for all of it.
//!
//! After a failed write nothing in memory is trusted: everything under way is refused, and the engine is opened anew
//! before the next commit.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::disk::{Shared, State};
use super::engine::{self, Engine, Rows, guarded};
use super::folder::{self, Mark, own};
use super::{Batch, CommitError, Receipt, StoreError, SyncObserver, TableId};
use crate::failpoint;

/// A group ends with this many batches or octets, so that nobody waits long behind others.
const GROUP: usize = 256;
const GROUP_OCTETS: usize = 4 << 20;
/// So many groups may be applied and not yet synced.
const UNDER_WAY: usize = 16;
/// Below this much free space commits are refused, so that the engine itself never meets a full disk, and
/// recovery after a crash still has room.
const RESERVE: u64 = 16 << 20;

pub(in crate::store) enum Ask {
    Commit(Batch, Answer),
    Close(oneshot::Sender<()>),
}

type Answer = oneshot::Sender<Result<Receipt, CommitError>>;

/// What the two threads share beside the store.
struct Gate {
    /// Something failed; the engine is not to be trusted until it was opened anew.
    broken: AtomicBool,
    /// Held while rows are applied, and while an observer looks at the files.
    applying: Mutex<()>,
}

pub(in crate::store) struct Writer<E> {
    shared: Arc<Shared<E>>,
    gate: Arc<Gate>,
    cache: u64,
    commits: u64,
    settling: Option<(sync_mpsc::SyncSender<Settle>, JoinHandle<()>)>,
    _lock: std::fs::File,
}

/// What a group of batches comes to.
#[derive(Default)]
struct Group {
    rows: Rows,
    answers: Answers,
}

#[derive(Default)]
struct Answers {
    tables: BTreeSet<TableId>,
    accepted: Vec<(Answer, Receipt)>,
    /// Answered after the write: what made a batch stale must be readable by whoever is told so.
    stale: Vec<(Answer, CommitError)>,
}

enum Settle {
    /// Applied; with the number of commits up to here.
    Applied(Answers, u64),
    /// Answered when all before it is settled.
    Barrier(sync_mpsc::Sender<()>),
}

impl<E: Engine> Writer<E> {
    /// A writer with its settler running.
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        cache: u64,
        (commits, mark): (u64, Mark),
        observer: Option<SyncObserver>,
        lock: std::fs::File,
    ) -> std::io::Result<Self> {
        let gate = Arc::new(Gate { broken: AtomicBool::new(false), applying: Mutex::new(()) });
        let (sender, applied) = sync_mpsc::sync_channel(UNDER_WAY);
        let settler = Settler { shared: Arc::clone(&shared), gate: Arc::clone(&gate), mark, observer };
        let thread =
            std::thread::Builder::new().name(format!("sync-{}", E::NAME)).spawn(move || settler.run(&applied))?;
        Ok(Self { shared, gate, cache, commits, settling: Some((sender, thread)), _lock: lock })
    }

    pub(super) fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
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
                self.end();
                // Whoever closed may be gone.
                let _gone = answer.send(()).is_err();
                return;
            }
        }
        self.end();
    }

    /// Everything is settled and the folder free for others when this returns.
    fn end(mut self) {
        if let Some((sender, thread)) = self.settling.take() {
            drop(sender);
            // A panic there was reported where it happened.
            let _panicked = thread.join().is_err();
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
        let Group { rows, answers } = self.decide(waiting);
        let applied = if rows.is_empty() && answers.accepted.is_empty() {
            Ok(())
        } else {
            self.apply(&rows, answers.accepted.len() as u64)
        };
        match applied {
            Ok(()) => self.hand_over(Settle::Applied(answers, self.commits)),
            Err(error) => self.gate.failed(answers, &error),
        }
    }

    fn hand_over(&self, settle: Settle) {
        let refused = match &self.settling {
            Some((sender, _)) => sender.send(settle).err().map(|sync_mpsc::SendError(settle)| settle),
            None => Some(settle),
        };
        if let Some(Settle::Applied(answers, _)) = refused {
            self.gate.failed(answers, &StoreError::failed("the thread that syncs has ended"));
        }
    }

    /// Whether a commit can be tried: room on the disk, and an engine that can be trusted.
    fn ready(&mut self, octets: usize) -> Result<(), StoreError> {
        let needed = RESERVE.saturating_add(2 * octets as u64);
        if folder::free(self.shared.folder()).is_some_and(|free| free < needed) {
            return Err(StoreError::full());
        }
        if !self.gate.is_broken() {
            return Ok(());
        }
        // What is under way was built on what failed; it is refused before anything new is decided.
        let (settled, waited) = sync_mpsc::channel();
        self.hand_over(Settle::Barrier(settled));
        let _ended = waited.recv().is_err();
        // Two must not have the files open at once.
        self.shared.set(State::Away);
        let opened = guarded(|| E::open(self.shared.folder(), self.cache))?;
        self.commits = folder::commits(&opened)?;
        self.shared.set(State::Open(opened));
        self.gate.broken.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn decide(&self, waiting: Vec<(Batch, Answer)>) -> Group {
        let mut group = Group::default();
        for (batch, answer) in waiting {
            let planned = batch.plan(|key| match group.rows.get(key) {
                Some(row) => Ok(row.clone()),
                None => self.shared.latest(key),
            });
            match planned {
                Ok(planned) => {
                    group.answers.tables.extend(planned.tables());
                    group.rows.extend(planned.rows);
                    group.answers.accepted.push((answer, planned.receipt));
                }
                Err(error) => group.answers.stale.push((answer, error)),
            }
        }
        group
    }

    fn apply(&mut self, rows: &Rows, accepted: u64) -> Result<(), StoreError> {
        let commits = self.commits + accepted;
        let mut framed: Rows = rows
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().map(|value| engine::frame(key, value).into())))
            .collect();
        let (key, value) = own::commits(commits);
        framed.insert(key.clone(), Some(engine::frame(&key, &value).into()));
        let _unobserved = self.gate.applying.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.read(|engine| engine.apply(framed))?;
        self.commits = commits;
        Ok(())
    }
}

impl Gate {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    fn failed(&self, answers: Answers, error: &StoreError) {
        if !self.broken.swap(true, Ordering::SeqCst) {
            tracing::error!(%error, reason = ?error, "a commit failed; the store will be opened anew");
        }
        let accepted = answers.accepted.into_iter().map(|(answer, _)| answer);
        refuse(accepted.chain(answers.stale.into_iter().map(|(answer, _)| answer)), error);
    }
}

/// Makes durable what was applied, and answers.
struct Settler<E> {
    shared: Arc<Shared<E>>,
    gate: Arc<Gate>,
    mark: Mark,
    observer: Option<SyncObserver>,
}

impl<E: Engine> Settler<E> {
    fn run(mut self, applied: &sync_mpsc::Receiver<Settle>) {
        while let Ok(first) = applied.recv() {
            let mut groups = Vec::new();
            let mut barriers = Vec::new();
            for settle in std::iter::once(first).chain(applied.try_iter()) {
                match settle {
                    Settle::Applied(answers, commits) => groups.push((answers, commits)),
                    Settle::Barrier(settled) => barriers.push(settled),
                }
            }
            self.settle(groups);
            for settled in barriers {
                // The writer waits for it.
                let _gone = settled.send(()).is_err();
            }
        }
    }

    fn settle(&mut self, groups: Vec<(Answers, u64)>) {
        let Some((_, commits)) = groups.last() else { return };
        match self.sync(*commits, groups.iter().any(|(answers, _)| !answers.accepted.is_empty())) {
            Ok(()) => {
                let tables = groups.iter().flat_map(|(answers, _)| answers.tables.iter().copied()).collect();
                self.shared.ring(&tables);
                for (answers, _) in groups {
                    let accepted = answers.accepted.into_iter().map(|(answer, receipt)| (answer, Ok(receipt)));
                    let stale = answers.stale.into_iter().map(|(answer, error)| (answer, Err(error)));
                    for (answer, outcome) in accepted.chain(stale) {
                        // Whoever asked may be gone; the commit stands.
                        let _gone = answer.send(outcome).is_err();
                    }
                }
            }
            Err(error) => {
                for (answers, _) in groups {
                    self.gate.failed(answers, &error);
                }
            }
        }
    }

    fn sync(&mut self, commits: u64, written: bool) -> Result<(), StoreError> {
        if self.gate.is_broken() {
            return Err(StoreError::failed("an earlier write failed"));
        }
        if !written {
            return Ok(());
        }
        failpoint::flush("before_flush");
        self.shared.read(Engine::sync)?;
        failpoint::flush("after_flush");
        if let Some(observer) = &self.observer {
            let _still = self.gate.applying.lock().unwrap_or_else(PoisonError::into_inner);
            observer.synced(self.shared.folder());
        }
        // Not needed for durability: it lets the next opening see that nothing acknowledged is missing.
        if let Err(error) = self.mark.set(commits) {
            tracing::warn!(%error, "the count of acknowledged commits could not be noted");
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

#[cfg(test)]
mod tests;
