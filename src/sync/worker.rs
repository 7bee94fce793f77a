//! Who does the work: leases jobs, runs them side by side over accounts, one after the other within one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Engine;
use super::attempts::Kind;
use super::job::{self, DISCOVER, PULL, PUSH, PullJob, WATCH};
use super::pull::{PullError, Told};
use super::push::Pushed;
use crate::calendar::{PushJob, PutError};
use crate::clock::Clock;
use crate::id::{AccountId, SourceId};
use crate::jobs::{Leased, Outcome, Priority, Queue};
use crate::provider::Fault;

/// No calendar is looked at more often because it says so.
const OFTENEST: Duration = Duration::from_mins(5);
/// And none is left alone for longer.
const SELDOMEST: Duration = Duration::from_hours(24);
/// Channels are looked after no more often than this.
const WATCHED: Duration = Duration::from_secs(5);
/// A look that a message asked for and that found nothing is followed by another after this.
const LATE: Duration = Duration::from_secs(5);
/// How long to stay away from a queue that can't be read.
const QUEUE_TROUBLE: Duration = Duration::from_secs(5);

impl Engine {
    /// Works until `stop` says so, or nobody is left who could; then ends what runs, within the grace of whoever drops this future.
    pub async fn work(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if let Err(error) = self.ensure_jobs().await {
            tracing::error!(%error, "the jobs of the accounts could not be looked through; the next start does it again");
        }
        let mut running = JoinSet::new();
        while !*stop.borrow() && stop.has_changed().is_ok() {
            while running.try_join_next().is_some() {}
            if running.len() >= self.config.workers {
                let done = running.join_next();
                drop(select(Box::pin(done), Box::pin(stop.changed())).await);
                continue;
            }
            match self.queue.lease("sync").await {
                Ok(Some(leased)) => {
                    let engine = Arc::clone(&self);
                    running.spawn(async move { engine.run_leased(leased).await });
                }
                Ok(None) => {
                    let work = self.queue.wait_for_work().map(|_| ());
                    drop(select(Box::pin(work), Box::pin(stop.changed())).await);
                }
                Err(error) => {
                    tracing::error!(%error, "the queue could not be read");
                    drop(select(self.clock.sleep(QUEUE_TROUBLE), Box::pin(stop.changed())).await);
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Runs one job and tells the queue how it went; a lease that is lost meanwhile ends the run.
    async fn run_leased(&self, mut leased: Leased) {
        let (kind, began) = (leased.kind.clone(), self.clock.monotonic());
        let run = Box::pin(self.run_job(leased.kind.as_str().to_owned(), leased.payload.clone()));
        let id = leased.id;
        let ended = match select(run, Box::pin(keep(&self.queue, &*self.clock, &mut leased))).await {
            Either::Left((ran, _)) => Some(ran),
            Either::Right(_) => None,
        };
        let Some(Ran { outcome, tried }) = ended else {
            tracing::warn!(job.kind = %kind, job.id = %id, "the lease was lost; somebody else goes on");
            return;
        };
        if let Ok(account) = leased.lane.parse::<AccountId>() {
            self.attempts.took(account, self.clock.monotonic().saturating_sub(began));
        }
        if let Err(error) = self.queue.finish(&leased, outcome).await {
            tracing::warn!(%error, job.kind = %kind, job.id = %leased.id, "the end of a job could not be noted; it runs again");
        }
        // Told last: whoever waits for the end of a try sees then what it did to the account and to the queue.
        match tried {
            Some(Tried { source, number, trouble }) => self.attempts.end(&source, number, trouble),
            // What the end did to the lane is news too: others of the account may have to wait now.
            None => self.attempts.ring(),
        }
    }

    async fn run_job(&self, kind: String, payload: Vec<u8>) -> Ran {
        let unreadable = || Ran::from(Outcome::Dead { why: "its record can't be read".to_owned() });
        if kind == PULL.as_str() {
            match PullJob::read(&payload) {
                Some(job) => self.run_pull(&job).await,
                None => unreadable(),
            }
        } else if kind == PUSH.as_str() {
            match PushJob::read(&payload) {
                Some(job) => self.run_push(&job).await,
                None => unreadable(),
            }
        } else if kind == DISCOVER.as_str() {
            match job::discovered(&payload) {
                Some(account) => self.run_discover(&account).await.into(),
                None => unreadable(),
            }
        } else if kind == WATCH.as_str() {
            match job::discovered(&payload) {
                Some(account) => self.run_watch(&account).await.into(),
                None => unreadable(),
            }
        } else {
            Outcome::Dead { why: format!("this version knows no job `{kind}`") }.into()
        }
    }

    async fn run_pull(&self, job: &PullJob) -> Ran {
        let is_asked = self.messages.begun(&job.key());
        let number = (Kind::Pull, self.attempts.begin(&job.source, Kind::Pull));
        let result = self.pull(job).await;
        // That nobody wants it read is no trouble.
        let trouble = result.as_ref().err().filter(|error| !matches!(error, PullError::NotMirrored));
        let trouble = trouble.map(ToString::to_string);
        let outcome = match result {
            Ok(told) => {
                let pause = self.poll_interval(&job.source).await;
                // What a message was about may not be in the list of changes yet (Graph replicates it lazily).
                let is_early = is_asked && told == Told::Nothing;
                let pause = if is_early { pause.min(LATE) } else { self.spread(pause) };
                self.next_look(job, job::after(self.clock.now(), pause)).await
            }
            Err(PullError::NotMirrored) => Outcome::Done,
            Err(PullError::Fault(fault)) => self.failed(&job.account, &fault).await,
            Err(error) => troubled(&error),
        };
        Ran { outcome, tried: Some(Tried { source: job.source.clone(), number, trouble }) }
    }

    /// A look is followed by the next; a comparison is done, and followed by looks.
    async fn next_look(&self, job: &PullJob, at: Timestamp) -> Outcome {
        if !job.full {
            return Outcome::Again { at };
        }
        let look = PullJob { full: false, ..job.clone() };
        match self.queue.enqueue(look.wish(at, Priority::Low)).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Unavailable { after: None, why: error.to_string() },
        }
    }

    /// The pause until the next look. A calendar may ask for a longer one, or for one that is a little shorter.
    async fn poll_interval(&self, source: &SourceId) -> Duration {
        let usual = self.config.poll_interval;
        let wished = match self.target(source).await {
            Ok(target) => target.provider.poll_interval(&target.source.remote),
            Err(_) => None,
        };
        wished.map_or(usual, |wished| wished.clamp(usual.min(OFTENEST), usual.max(SELDOMEST)))
    }

    async fn run_push(&self, job: &PushJob) -> Ran {
        let number = (Kind::Push, self.attempts.begin(&job.source, Kind::Push));
        let result = self.push(job).await;
        let trouble = result.as_ref().err().map(ToString::to_string);
        let outcome = match result {
            Ok(Pushed { waits: Some(since) }) => {
                // The longer it has waited, the seldomer it looks.
                let now = self.clock.now();
                let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
                let pause = (waited / 2).min(self.config.poll_interval).max(self.config.move_wait);
                Outcome::Again { at: job::after(now, pause) }
            }
            Ok(_) | Err(PullError::NotMirrored) => Outcome::Done,
            Err(PullError::Fault(fault)) => self.failed(&job.account, &fault).await,
            Err(error) => troubled(&error),
        };
        Ran { outcome, tried: Some(Tried { source: job.source.clone(), number, trouble }) }
    }

    async fn run_discover(&self, account: &AccountId) -> Outcome {
        self.messages.begun(&job::discover_key(account));
        match self.discover(account).await {
            Ok(()) => Outcome::Again { at: job::after(self.clock.now(), self.spread(self.config.discover_interval)) },
            Err(PullError::NotMirrored) => Outcome::Done,
            // A list that can't be had is asked for again like anything else, and never at once.
            Err(PullError::Fault(fault @ (Fault::CalendarGone | Fault::Forbidden(_)))) => {
                Outcome::Unavailable { after: None, why: fault.to_string() }
            }
            Err(PullError::Fault(fault)) => self.failed(account, &fault).await,
            Err(error) => troubled(&error),
        }
    }

    async fn run_watch(&self, account: &AccountId) -> Outcome {
        match self.watch(account).await {
            Ok(None) | Err(PullError::NotMirrored) => Outcome::Done,
            Ok(Some(next)) => Outcome::Again { at: next.max(job::after(self.clock.now(), WATCHED)) },
            Err(PullError::Fault(fault)) => self.failed(account, &fault).await,
            Err(error) => troubled(&error),
        }
    }

    /// What a fault of the provider means for the account beyond the job.
    async fn failed(&self, account: &AccountId, fault: &Fault) -> Outcome {
        let now = self.clock.now();
        match fault {
            Fault::Unauthorized(why) => {
                if let Err(error) = self.accounts.needs_sign_in(account, why).await {
                    tracing::error!(%error, account.id = %account, "the account's state could not be noted");
                }
            }
            Fault::CalendarGone | Fault::Forbidden(_) => {
                if let Err(error) = self.queue.enqueue(job::discover(account, now, Priority::Medium)).await {
                    tracing::error!(%error, account.id = %account, "a look at the account's calendars could not be queued");
                }
            }
            _ => {}
        }
        job::outcome(fault, now, self.config.poll_interval)
    }
}

/// A job that has run.
struct Ran {
    outcome: Outcome,
    /// What it has tried, for those who wait for it.
    tried: Option<Tried>,
}

struct Tried {
    source: SourceId,
    number: (Kind, u64),
    trouble: Option<String>,
}

impl From<Outcome> for Ran {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, tried: None }
    }
}

/// What becomes of a job that failed on our side. A store that is full or slow passes, and a source must not be left
/// alone for ever because of it.
fn troubled(error: &PullError) -> Outcome {
    let why = error.to_string();
    match error {
        PullError::Store(_) | PullError::Put(PutError::Store(_) | PutError::Stale) => {
            Outcome::Unavailable { after: None, why }
        }
        _ => Outcome::Retry { after: None, why },
    }
}

/// Renews the lease for as long as it can; returns when it is lost.
async fn keep(queue: &Queue, clock: &dyn Clock, leased: &mut Leased) {
    loop {
        let left = leased.until.duration_since(clock.now());
        let pause = Duration::try_from(left).unwrap_or_default() / 3;
        clock.sleep(pause.max(Duration::from_millis(100))).await;
        if let Err(error) = queue.renew(leased).await {
            tracing::debug!(%error, job.id = %leased.id, "a lease could not be renewed");
            return;
        }
    }
}
