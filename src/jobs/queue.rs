//! The queue: wishes become jobs, workers lease them, finish them, or lose them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};

use super::index::Index;
use super::lane::{Hold, LaneHealth};
use super::policy::{Policy, later};
use super::state::{self, Holder, Outcome, Standing, State};
use super::{Again, DEAD, JOBS, Job, JobId, JobKind, LANES, NewJob, WISH_PARTS, WISHES};
use crate::clock::Clock;
use crate::entropy::{self, Entropy};
use crate::store::{Batch, CommitError, Store, StoreError, tables};

/// Why a call on the queue did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The lease ended and somebody else may hold the job now, or it is gone.
    #[error("the lease of this job was lost")]
    Lost,
    /// No job and no dead letter has this number.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// A worker holds the job.
    #[error("job {0} is running")]
    Running(JobId),
    /// Others changed the same rows again and again.
    #[error("the queue is too busy")]
    Contended,
    /// The store failed.
    #[error("the queue can't reach the store")]
    Store(#[source] StoreError),
}

/// The right to run a job for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Leased {
    /// The job's number.
    pub id: JobId,
    /// What sort of work.
    pub kind: JobKind,
    /// Where it queued.
    pub lane: String,
    /// Its key.
    pub key: String,
    /// What the worker must know.
    pub payload: Vec<u8>,
    /// Failures in a row before this try.
    pub attempts: u32,
    /// Until when the lease holds; renew it before.
    pub until: Timestamp,
    holder: Holder,
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leased({} {} {:?} in {}, until {})", self.id, self.kind, self.key, self.lane, self.until)
    }
}

/// The durable queue.
#[derive(Debug)]
pub struct Queue {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policy: Policy,
    memory: Mutex<Memory>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Memory {
    index: Index,
    /// Whether the index says what the rows say.
    fresh: bool,
    /// Whether the leases of an earlier process were taken over.
    adopted: bool,
}

const TRIES: u32 = 4;
const WISHES_AT_ONCE: usize = 1000;
const ALL: usize = usize::MAX;

impl Queue {
    /// The queue in `store`. Nothing is read before the first call.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, policy: Policy) -> Self {
        Self { store, clock, entropy, policy, memory: Mutex::default(), freed: Notify::new() }
    }

    /// Wishes for a job as part of somebody else's commit: blind, so it is never the reason for a conflict.
    pub fn enqueue_into(&self, batch: &mut Batch, job: &NewJob) {
        batch.append(WISH_PARTS.key(&0), WISH_PARTS.key(&1), WISHES.encode(job));
    }

    /// Wishes for a job in a commit of its own.
    pub async fn enqueue(&self, job: NewJob) -> Result<(), JobError> {
        let mut batch = Batch::new();
        self.enqueue_into(&mut batch, &job);
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Stale(_)) => Err(JobError::Contended),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// The next job that can run, for `worker`, or nothing.
    pub async fn lease(&self, worker: &str) -> Result<Option<Leased>, JobError> {
        let holder = Holder { worker: worker.to_owned(), fence: entropy::number(&*self.entropy) };
        self.change(|index, now| {
            while let Some(lane) = index.first_in_line() {
                self.bury_abandoned(index, &lane, now);
                if let Some(key) = next_in_lane(index, &lane, now) {
                    return Ok(self.take(index, &key, &holder, now));
                }
                // Its only job was one that nobody came back from; the lane has left the line by that.
                if index.first_in_line().as_ref() == Some(&lane) {
                    break;
                }
            }
            Ok(None)
        })
        .await
    }

    /// Holds the job for another while. The new end is returned, and told by the lease that is passed in.
    pub async fn renew(&self, leased: &mut Leased) -> Result<Timestamp, JobError> {
        let until = self
            .change(|index, now| {
                let mut job = held(index, leased)?;
                let until = later(now, self.policy.lease);
                job.standing.state = State::Leased { until, by: leased.holder.clone() };
                index.set_job(&leased.key, Some(job));
                Ok(until)
            })
            .await?;
        leased.until = until;
        Ok(until)
    }

    /// Tells how it went. Whoever lost the lease learns so, and nothing changes.
    pub async fn finish(&self, leased: &Leased, outcome: Outcome) -> Result<(), JobError> {
        let jitter = entropy::number(&*self.entropy);
        self.change(|index, now| {
            let job = held(index, leased)?;
            let mut lane = index.lane(&job.lane);
            lane.ran(&outcome, &self.policy, now, jitter);
            let next = state::next(&job.standing, &outcome, &self.policy, now, jitter);
            if matches!(outcome, Outcome::Done | Outcome::Again { .. }) {
                settle_dead(index, &job.key);
            }
            index.set_lane(&job.lane, lane);
            let last_error = match &outcome {
                Outcome::Done | Outcome::Again { .. } => None,
                Outcome::Retry { why, .. }
                | Outcome::Unavailable { why, .. }
                | Outcome::WaitForPerson { why }
                | Outcome::Dead { why } => Some(why.clone()),
            };
            advance(index, Job { last_error, ..job }, next);
            Ok(())
        })
        .await?;
        self.freed.notify_waiters();
        Ok(())
    }

    /// When the next job can run; in the past when one can already.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, JobError> {
        self.change(|index, _| Ok(index.next_due())).await
    }

    /// Resolves once there may be something to lease: a wish came, a lane became free, or a time has come.
    pub async fn wait_for_work(&self) -> Result<(), JobError> {
        // Both are taken before looking, so nothing that happens after the look is missed.
        let mut wished = self.store.changed(tables::JOB_WISH);
        let freed = self.freed.notified();
        let pause = self.next_due().await?.map(|at| until(self.clock.now(), at));
        let due = async {
            match pause {
                Some(pause) => self.clock.sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = freed => {}
            () = async { wished.wait().await; } => {}
        }
        Ok(())
    }

    /// All jobs, by lane and key.
    pub async fn list(&self) -> Result<Vec<Job>, JobError> {
        let mut jobs = self.change(|index, _| Ok(index.jobs().cloned().collect::<Vec<_>>())).await?;
        jobs.sort_by(|a, b| (&a.lane, &a.key).cmp(&(&b.lane, &b.key)));
        Ok(jobs)
    }

    /// All dead letters, oldest first.
    pub async fn dead(&self) -> Result<Vec<Job>, JobError> {
        self.change(|index, _| Ok(index.dead().cloned().collect())).await
    }

    /// Lets a dead letter, or a job that backs off, run now.
    pub async fn retry(&self, id: JobId) -> Result<(), JobError> {
        self.change(|index, now| {
            if let Some(dead) = index.dead_letter(id.0).cloned() {
                index.set_dead(id.0, None);
                // A living job of the same key does the same work.
                if index.job(&dead.key).is_none() {
                    let key = dead.key.clone();
                    index.set_job(&key, Some(Job { standing: Standing::ready(now), ..dead }));
                }
                return Ok(());
            }
            let job = find(index, id)?;
            if !matches!(job.standing.state, State::Leased { .. }) {
                let mut lane = index.lane(&job.lane);
                lane.nudge();
                index.set_lane(&job.lane, lane);
                index.set_job(&job.key.clone(), Some(Job { standing: Standing::ready(now), ..job }));
            }
            Ok(())
        })
        .await?;
        self.freed.notify_waiters();
        Ok(())
    }

    /// Throws away a dead letter or a job that nobody runs.
    pub async fn drop(&self, id: JobId) -> Result<(), JobError> {
        self.change(|index, _| {
            if index.dead_letter(id.0).is_some() {
                index.set_dead(id.0, None);
                return Ok(());
            }
            let job = find(index, id)?;
            if matches!(job.standing.state, State::Leased { .. }) {
                return Err(JobError::Running(id));
            }
            index.set_job(&job.key, None);
            Ok(())
        })
        .await
    }

    /// Holds the lane: what runs may end, nothing new begins.
    pub async fn pause_lane(&self, lane: &str) -> Result<(), JobError> {
        self.hold(lane, Hold::Paused).await
    }

    /// Holds the lane until a person acts.
    pub async fn hold_for_sign_in(&self, lane: &str, why: &str) -> Result<(), JobError> {
        self.hold(lane, Hold::NeedsSignIn { why: why.to_owned() }).await
    }

    /// Ends every hold: after signing in again, or when a pause is over. What waited for a person is due now.
    pub async fn resume_lane(&self, lane: &str) -> Result<(), JobError> {
        self.change(|index, now| {
            let mut row = index.lane(lane);
            row.hold = None;
            row.nudge();
            index.set_lane(lane, row);
            let waiting: Vec<Job> = index.lane_jobs(lane).filter(|job| waits(job)).cloned().collect();
            for job in waiting {
                index.set_job(&job.key.clone(), Some(Job { standing: Standing::ready(now), ..job }));
            }
            Ok(())
        })
        .await?;
        self.freed.notify_waiters();
        Ok(())
    }

    /// Forgets the pauses of a lane, so that its jobs that back off are tried at once: somebody knows that the
    /// other side is back, or wants to see.
    pub async fn nudge_lane(&self, lane: &str) -> Result<(), JobError> {
        self.change(|index, now| {
            let mut row = index.lane(lane);
            row.nudge();
            index.set_lane(lane, row);
            let backing_off: Vec<Job> = index.lane_jobs(lane).filter(|job| backs_off(job)).cloned().collect();
            for mut job in backing_off {
                job.standing.state = State::Ready { at: now };
                index.set_job(&job.key.clone(), Some(job));
            }
            Ok(())
        })
        .await?;
        self.freed.notify_waiters();
        Ok(())
    }

    /// Forgets all about a lane: its jobs, dead letters and record. Who runs a job of it will find it lost.
    pub async fn forget_lane(&self, lane: &str) -> Result<(), JobError> {
        self.change(|index, _| {
            let keys: Vec<String> = index.lane_jobs(lane).map(|job| job.key.clone()).collect();
            for key in keys {
                index.set_job(&key, None);
            }
            let dead: Vec<u64> = index.dead().filter(|job| job.lane == lane).map(|job| job.id.0).collect();
            for id in dead {
                index.set_dead(id, None);
            }
            index.forget_lane(lane);
            Ok(())
        })
        .await
    }

    /// How a lane fares.
    pub async fn health(&self, lane: &str) -> Result<LaneHealth, JobError> {
        self.change(|index, now| {
            let row = index.lane(lane);
            Ok(LaneHealth {
                consecutive_failures: row.failures,
                last_success: row.last_success,
                // A lane that runs has its lease's end as its due time; for people it runs now.
                next_run: if index.lane_jobs(lane).any(is_leased) { Some(now) } else { index.lane_due(lane) },
                breaker: row.breaker,
                queued: index.lane_jobs(lane).filter(|job| is_queued(job, now)).count(),
                dead: index.dead().filter(|job| job.lane == lane).count(),
                error_rate: row.error_rate(),
                last_error: row.last_error,
                hold: row.hold,
            })
        })
        .await
    }

    async fn hold(&self, lane: &str, hold: Hold) -> Result<(), JobError> {
        self.change(|index, _| {
            let mut row = index.lane(lane);
            row.hold = Some(hold.clone());
            index.set_lane(lane, row);
            Ok(())
        })
        .await
    }

    /// Takes in the wishes, lets `decide` change the index, and commits all of it at once. When the rows are not
    /// what the index held them to be, it is read anew and `decide` asked again.
    async fn change<T>(&self, decide: impl Fn(&mut Index, Timestamp) -> Result<T, JobError>) -> Result<T, JobError> {
        let mut memory = self.memory.lock().await;
        for _ in 0..TRIES {
            self.refresh(&mut memory).await?;
            let now = self.clock.now();
            // Until the commit is known to be in, the index runs ahead of the rows: also when this future is
            // dropped halfway.
            memory.fresh = false;
            memory.index.advance(now);
            let wishes = WISHES.scan(&*self.store, WISHES.range(&1_u8), WISHES_AT_ONCE).await?;
            for ((_, number), wish) in &wishes {
                take_in(&mut memory.index, JobId(*number), wish, now);
            }
            let decided = decide(&mut memory.index, now);
            let Some(mut batch) = memory.index.pending().or_else(|| (!wishes.is_empty()).then(Batch::new)) else {
                memory.fresh = true;
                return decided;
            };
            for (key, _) in &wishes {
                WISHES.expect_present(&mut batch, key);
                WISHES.delete(&mut batch, key);
            }
            match self.store.commit(batch).await {
                Ok(_) => {
                    memory.index.settle();
                    memory.fresh = true;
                    return decided;
                }
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(JobError::Contended)
    }

    async fn refresh(&self, memory: &mut Memory) -> Result<(), JobError> {
        if memory.fresh {
            return Ok(());
        }
        let store = &*self.store;
        let jobs = JOBS.scan(store, JOBS.all(), ALL).await?;
        let lanes = LANES.scan(store, LANES.all(), ALL).await?;
        let dead = DEAD.scan(store, DEAD.all(), ALL).await?;
        memory.index = Index::of(jobs, lanes, dead);
        if self.policy.sole_owner && !memory.adopted {
            let now = self.clock.now();
            let orphans: Vec<Job> = memory.index.jobs().filter(|job| is_leased(job)).cloned().collect();
            for mut job in orphans {
                // The process ended; that says nothing against the job.
                job.standing.state = State::Ready { at: now };
                memory.index.set_job(&job.key.clone(), Some(job));
            }
            if let Some(batch) = memory.index.pending() {
                match self.store.commit(batch).await {
                    Ok(_) => memory.index.settle(),
                    Err(CommitError::Stale(_)) => return Err(JobError::Contended),
                    Err(CommitError::Store(error)) => return Err(error.into()),
                }
            }
        }
        memory.adopted = true;
        memory.fresh = true;
        Ok(())
    }

    /// A lane in line with a lease in it: that lease has run out.
    fn bury_abandoned(&self, index: &mut Index, lane: &str, now: Timestamp) {
        let expired = |job: &&Job| matches!(job.standing.state, State::Leased { until, .. } if until <= now);
        let Some(job) = index.lane_jobs(lane).find(expired).cloned() else {
            return;
        };
        let mut row = index.lane(lane);
        let why = "its worker did not come back";
        row.failed(why, &self.policy, now, entropy::number(&*self.entropy));
        index.set_lane(lane, row);
        let next = state::abandoned(&job.standing, &self.policy, now);
        advance(index, Job { last_error: Some(why.to_owned()), ..job }, Some(next));
    }

    fn take(&self, index: &mut Index, key: &str, holder: &Holder, now: Timestamp) -> Option<Leased> {
        let mut job = index.job(key)?.clone();
        let mut lane = index.lane(&job.lane);
        lane.breaker = lane.breaker.tried();
        let until = later(now, self.policy.lease);
        job.standing.state = State::Leased { until, by: holder.clone() };
        index.set_lane(&job.lane, lane);
        index.set_job(key, Some(job.clone()));
        Some(Leased {
            id: job.id,
            kind: job.kind,
            lane: job.lane,
            key: job.key,
            payload: job.payload,
            attempts: job.standing.attempts,
            until,
            holder: holder.clone(),
        })
    }
}

/// A wish becomes a job, joins the one of its key, or is kept until that one has run.
fn take_in(index: &mut Index, id: JobId, wish: &NewJob, now: Timestamp) {
    let Some(job) = index.job(&wish.key).cloned() else {
        let job = Job {
            id,
            kind: wish.kind.clone(),
            lane: wish.lane.clone(),
            key: wish.key.clone(),
            priority: wish.priority,
            usual: wish.priority,
            payload: wish.payload.clone(),
            standing: Standing::ready(wish.due),
            again: None,
            created: now,
            last_error: None,
        };
        index.set_job(&wish.key, Some(job));
        return;
    };
    let usual = job.usual.max(wish.priority);
    let mut joined = Job { usual, ..job };
    match &mut joined.standing.state {
        State::Leased { .. } => {
            let again = joined.again.take();
            joined.again = Some(Again {
                id,
                priority: again.as_ref().map_or(wish.priority, |again| again.priority.min(wish.priority)),
                due: again.map_or(wish.due, |again| again.due.min(wish.due)),
                payload: wish.payload.clone(),
            });
        }
        state => {
            joined.priority = joined.priority.min(wish.priority);
            joined.payload.clone_from(&wish.payload);
            // A job that backs off keeps its pause: wishing doesn't mend the other side.
            if let State::Ready { at } = state
                && joined.standing.attempts == 0
            {
                *at = (*at).min(wish.due);
            }
        }
    }
    index.set_job(&wish.key, Some(joined));
}

/// Puts the job where its next standing says, together with what was wished meanwhile.
fn advance(index: &mut Index, mut job: Job, next: Option<Standing>) {
    let key = job.key.clone();
    let again = job.again.take();
    let standing = match next {
        Some(Standing { state: State::Dead { why }, attempts }) => {
            let standing = Standing { state: State::Dead { why }, attempts };
            index.set_dead(job.id.0, Some(Job { standing, ..job.clone() }));
            None
        }
        next => next,
    };
    let after = match (standing, again) {
        (None, None) => None,
        (None, Some(again)) => Some(Job {
            id: again.id,
            priority: again.priority,
            payload: again.payload,
            standing: Standing::ready(again.due),
            last_error: None,
            ..job
        }),
        (Some(standing), None) => {
            let priority = if standing.attempts == 0 { job.usual } else { job.priority };
            Some(Job { priority, standing, ..job })
        }
        (Some(mut standing), Some(again)) => {
            if let State::Ready { at } = &mut standing.state
                && standing.attempts == 0
            {
                *at = (*at).min(again.due);
            }
            Some(Job { priority: again.priority.min(job.priority), payload: again.payload, standing, ..job })
        }
    };
    index.set_job(&key, after);
}

/// A job that went well settles the dead letters of its key: the same work is done.
fn settle_dead(index: &mut Index, key: &str) {
    let settled: Vec<u64> = index.dead().filter(|job| job.key == key).map(|job| job.id.0).collect();
    for id in settled {
        index.set_dead(id, None);
    }
}

fn held(index: &Index, leased: &Leased) -> Result<Job, JobError> {
    let job = index.job(&leased.key).ok_or(JobError::Lost)?;
    match &job.standing.state {
        State::Leased { by, .. } if *by == leased.holder && job.id == leased.id => Ok(job.clone()),
        _ => Err(JobError::Lost),
    }
}

fn find(index: &Index, id: JobId) -> Result<Job, JobError> {
    index.jobs().find(|job| job.id == id).cloned().ok_or(JobError::Unknown(id))
}

fn next_in_lane(index: &Index, lane: &str, now: Timestamp) -> Option<String> {
    let due = index.lane_jobs(lane).filter_map(|job| match job.standing.state {
        State::Ready { at } if at <= now => Some((job.priority, at, job.id, &job.key)),
        _ => None,
    });
    // The lane must be open: what was found abandoned a moment ago may have opened its breaker.
    index.lane_due(lane).filter(|at| *at <= now)?;
    due.min().map(|(_, _, _, key)| key.clone())
}

fn is_leased(job: &Job) -> bool {
    matches!(job.standing.state, State::Leased { .. })
}

fn waits(job: &Job) -> bool {
    matches!(job.standing.state, State::Waiting { .. })
}

fn backs_off(job: &Job) -> bool {
    job.standing.attempts > 0 && matches!(job.standing.state, State::Ready { .. })
}

fn is_queued(job: &Job, now: Timestamp) -> bool {
    match job.standing.state {
        State::Ready { at } => at <= now || job.standing.attempts > 0,
        State::Leased { .. } | State::Waiting { .. } => true,
        State::Dead { .. } => false,
    }
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
