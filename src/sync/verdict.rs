//! Who waits for a provider's verdict on a change, and how the verdict reaches them.
//!
//! A client's write is acknowledged once it is on disk; for a moment (`sync.write_through`) the answer is held
//! back in the hope of a provider's word. A verdict that nobody waits for is kept for those who are about to ask.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::calendar::Pending;

/// What a provider said to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds the change, or has no need to.
    Accepted,
    /// It will not hold it, with the reason.
    Refused(String),
}

/// How many verdicts without a waiter are kept: a second's worth of the busiest client.
const KEPT: usize = 1024;

/// Verdicts on their way.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<u64, oneshot::Sender<Verdict>>,
    told: HashMap<u64, Verdict>,
    order: VecDeque<u64>,
}

impl Verdicts {
    /// A wait for the verdict on `pending`, in which case nobody else waits for the same.
    pub(super) fn wait(&self, pending: &Pending) -> oneshot::Receiver<Verdict> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        match inner.told.remove(&pending.seq) {
            // The receiver is in hand, so sending can't fail.
            Some(verdict) => drop(sender.send(verdict)),
            None => drop(inner.waiting.insert(pending.seq, sender)),
        }
        receiver
    }

    /// Stops waiting: the time is up. Whether somebody was still waiting.
    pub(super) fn give_up(&self, pending: &Pending) {
        self.lock().waiting.remove(&pending.seq);
    }

    /// Whether somebody waits for the verdict on the intent with this number at this moment.
    pub(super) fn is_awaited(&self, seq: u64) -> bool {
        self.lock().waiting.get(&seq).is_some_and(|sender| !sender.is_closed())
    }

    /// Tells the verdict to whoever waits, or keeps it for whoever asks next.
    pub(super) fn tell(&self, seq: u64, verdict: Verdict) {
        let mut inner = self.lock();
        if let Some(sender) = inner.waiting.remove(&seq) {
            // Who stopped waiting has answered already.
            drop(sender.send(verdict));
            return;
        }
        inner.told.insert(seq, verdict);
        inner.order.push_back(seq);
        while inner.order.len() > KEPT {
            if let Some(oldest) = inner.order.pop_front() {
                inner.told.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
