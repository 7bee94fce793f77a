//! The queue against a model, with a clock that stands until it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::entropy::SeededEntropy;
use crate::store::{Batch, MemoryStore, Store};

struct Bench {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    policy: Policy,
    queue: Queue,
}

impl Bench {
    fn new() -> Self {
        let policy = Policy { max_retries: 2, ..Policy::default() };
        let store = Arc::new(MemoryStore::new());
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let queue = open(&store, &clock, policy);
        Self { store, clock, policy, queue }
    }

    fn restart(&mut self) {
        self.queue = open(&self.store, &self.clock, self.policy);
    }

    fn job(&self, lane: &str, key: &str, priority: Priority) -> NewJob {
        let (lane, key) = (lane.to_owned(), key.to_owned());
        NewJob { kind: JobKind::named("test"), lane, key, priority, payload: vec![], due: self.clock.now() }
    }

    async fn wish(&self, lane: &str, key: &str) {
        self.queue.enqueue(self.job(lane, key, Priority::Medium)).await.unwrap();
    }

    async fn lease(&self) -> Option<Leased> {
        self.queue.lease("w").await.unwrap()
    }

    async fn finish(&self, leased: &Leased, outcome: Outcome) {
        self.queue.finish(leased, outcome).await.unwrap();
    }
}

fn open(store: &Arc<MemoryStore>, clock: &ManualClock, policy: Policy) -> Queue {
    let store: Arc<dyn Store> = store.clone();
    Queue::new(store, Arc::new(clock.clone()), Arc::new(SeededEntropy::new(1)), policy)
}

fn retry() -> Outcome {
    Outcome::Retry { after: None, why: "because".into() }
}

fn keys(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| job.key.as_str()).collect()
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn wishes_of_one_key_are_one_job_and_one_made_while_it_runs_runs_it_again() {
    let bench = Bench::new();
    bench.wish("a", "k").await;
    bench.wish("a", "k").await;
    let first = bench.lease().await.unwrap();
    assert!(bench.lease().await.is_none());
    bench.wish("a", "k").await;
    bench.wish("a", "k").await;
    bench.finish(&first, Outcome::Done).await;
    let second = bench.lease().await.unwrap();
    assert_eq!(second.key, "k");
    bench.finish(&second, Outcome::Done).await;
    assert!(bench.lease().await.is_none());
    assert!(bench.queue.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lane_runs_one_job_at_a_time_by_priority_and_lanes_take_turns() {
    let bench = Bench::new();
    for (lane, key, priority) in [
        ("a", "a-low", Priority::Low),
        ("a", "a-mid", Priority::Medium),
        ("a", "a-high", Priority::High),
        ("b", "b1", Priority::Low),
        ("b", "b2", Priority::Low),
    ] {
        bench.queue.enqueue(bench.job(lane, key, priority)).await.unwrap();
    }
    let mut order = Vec::new();
    while let Some(leased) = bench.lease().await {
        let other = bench.lease().await;
        assert!(other.as_ref().is_none_or(|other| other.lane != leased.lane));
        for leased in [Some(leased), other].into_iter().flatten() {
            order.push(leased.key.clone());
            bench.finish(&leased, Outcome::Done).await;
        }
    }
    assert_eq!(order, ["a-high", "b1", "a-mid", "b2", "a-low"]);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_and_its_old_holder_is_fenced_off() {
    let bench = Bench::new();
    bench.wish("a", "k").await;
    let mut old = bench.lease().await.unwrap();
    bench.clock.advance(bench.policy.lease / 2);
    bench.queue.renew(&mut old).await.unwrap();
    bench.clock.advance(bench.policy.lease / 2);
    assert!(bench.lease().await.is_none(), "renewed in time");
    bench.clock.advance(bench.policy.lease);
    let new = bench.lease().await.unwrap();
    assert_eq!((new.id, new.attempts), (old.id, 1));
    assert!(matches!(bench.queue.finish(&old, Outcome::Done).await, Err(JobError::Lost)));
    assert!(matches!(bench.queue.renew(&mut old).await, Err(JobError::Lost)));
    bench.finish(&new, Outcome::Done).await;
}

#[tokio::test]
async fn failures_back_off_end_among_the_dead_and_come_back_by_hand() {
    let bench = Bench::new();
    bench.wish("a", "k").await;
    let mut tries = 0;
    while bench.queue.dead().await.unwrap().is_empty() {
        if let Some(leased) = bench.lease().await {
            tries += 1;
            bench.finish(&leased, retry()).await;
        }
        bench.clock.advance(Duration::from_secs(30));
    }
    assert_eq!(tries, 3);
    let dead = bench.queue.dead().await.unwrap();
    assert!(matches!(&dead[0].standing.state, State::Dead { why } if why.contains("because")));
    assert!(bench.lease().await.is_none());
    bench.queue.retry(dead[0].id).await.unwrap();
    assert!(bench.queue.dead().await.unwrap().is_empty());
    let leased = bench.lease().await.unwrap();
    bench.finish(&leased, Outcome::Dead { why: "never".into() }).await;
    // A success of the same key settles what was given up before.
    bench.wish("a", "k").await;
    let leased = bench.lease().await.unwrap();
    bench.finish(&leased, Outcome::Done).await;
    assert!(bench.queue.dead().await.unwrap().is_empty());
    assert!(matches!(bench.queue.retry(dead[0].id).await, Err(JobError::Unknown(_))));
}

#[tokio::test]
async fn an_outage_opens_the_breaker_of_its_lane_alone_and_drains_afterwards() {
    let bench = Bench::new();
    bench.wish("down", "d").await;
    let mut tries = 0;
    for _ in 0..360 {
        bench.clock.advance(Duration::from_secs(10));
        bench.wish("up", "u").await;
        bench.wish("down", "d").await;
        while let Some(leased) = bench.lease().await {
            let outcome = if leased.lane == "up" {
                Outcome::Done
            } else {
                tries += 1;
                Outcome::Unavailable { after: None, why: "unreachable".into() }
            };
            bench.finish(&leased, outcome).await;
        }
    }
    assert!((10..80).contains(&tries), "{tries} tries in an hour");
    let health = bench.queue.health("down").await.unwrap();
    assert!(matches!(health.breaker, Breaker::Open { .. }));
    assert_eq!((health.queued, health.dead, health.last_success), (1, 0, None));
    assert_eq!(bench.queue.health("up").await.unwrap().consecutive_failures, 0);
    bench.queue.nudge_lane("down").await.unwrap();
    let leased = bench.lease().await.unwrap();
    bench.finish(&leased, Outcome::Done).await;
    let health = bench.queue.health("down").await.unwrap();
    assert_eq!((health.breaker, health.last_error, health.queued), (Breaker::default(), None, 0));
}

#[tokio::test]
async fn retry_after_keeps_the_whole_lane_away() {
    let bench = Bench::new();
    bench.wish("a", "1").await;
    let leased = bench.lease().await.unwrap();
    bench.wish("a", "2").await;
    let after = Some(Duration::from_secs(100));
    bench.finish(&leased, Outcome::Unavailable { after, why: "429".into() }).await;
    bench.clock.advance(Duration::from_secs(99));
    assert!(bench.lease().await.is_none());
    bench.clock.advance(Duration::from_secs(20));
    assert!(bench.lease().await.is_some());
}

#[tokio::test]
async fn a_lane_that_needs_a_person_waits_for_one() {
    let mut bench = Bench::new();
    bench.wish("a", "1").await;
    bench.wish("a", "2").await;
    let leased = bench.lease().await.unwrap();
    bench.finish(&leased, Outcome::WaitForPerson { why: "sign in".into() }).await;
    bench.restart();
    bench.clock.advance(HOUR);
    assert!(bench.lease().await.is_none());
    assert_eq!(bench.queue.next_due().await.unwrap(), None);
    let health = bench.queue.health("a").await.unwrap();
    assert_eq!((health.hold, health.queued), (Some(Hold::NeedsSignIn { why: "sign in".into() }), 2));
    bench.queue.resume_lane("a").await.unwrap();
    for _ in 0..2 {
        let leased = bench.lease().await.unwrap();
        bench.finish(&leased, Outcome::Done).await;
    }
    bench.queue.pause_lane("a").await.unwrap();
    bench.wish("a", "1").await;
    assert!(bench.lease().await.is_none());
    bench.queue.forget_lane("a").await.unwrap();
    assert!(bench.queue.list().await.unwrap().is_empty());
    assert_eq!(bench.queue.health("a").await.unwrap().hold, None);
}

#[tokio::test]
async fn a_restart_takes_over_what_the_process_held_at_once() {
    let mut bench = Bench::new();
    bench.wish("a", "k").await;
    for _ in 0..20 {
        let leased = bench.lease().await.unwrap();
        assert_eq!(leased.attempts, 0, "a crash says nothing against the job");
        bench.restart();
        assert!(matches!(bench.queue.finish(&leased, Outcome::Done).await, Err(JobError::Lost)));
    }
}

#[tokio::test]
async fn workers_wake_for_wishes_for_times_and_for_freed_lanes() {
    let bench = Bench::new();
    let mut wait = Box::pin(bench.queue.wait_for_work());
    assert!(futures_util::poll!(&mut wait).is_pending());
    bench.wish("a", "1").await;
    wait.await.unwrap();
    let leased = bench.lease().await.unwrap();
    bench.wish("a", "2").await;
    bench.queue.list().await.unwrap();
    let mut wait = Box::pin(bench.queue.wait_for_work());
    assert!(futures_util::poll!(&mut wait).is_pending());
    bench.finish(&leased, Outcome::Again { at: bench.clock.now() + HOUR }).await;
    wait.await.unwrap();
    let leased = bench.lease().await.unwrap();
    bench.finish(&leased, Outcome::Done).await;
    let mut wait = Box::pin(bench.queue.wait_for_work());
    assert!(futures_util::poll!(&mut wait).is_pending());
    bench.clock.advance(HOUR);
    wait.await.unwrap();
    assert_eq!(bench.lease().await.unwrap().key, "1");
}

#[tokio::test]
async fn a_wish_stands_or_falls_with_its_batch() {
    let bench = Bench::new();
    let mut batch = Batch::new();
    bench.queue.enqueue_into(&mut batch, &bench.job("a", "k", Priority::High));
    drop(batch);
    assert!(bench.lease().await.is_none());
}

#[derive(Clone, Debug)]
enum Op {
    Wish { lane: u8, key: u8 },
    Lease,
    Finish { held: usize, outcome: u8 },
    Advance(u64),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0_u8..3, 0_u8..3).prop_map(|(lane, key)| Op::Wish { lane, key }),
        4 => Just(Op::Lease),
        4 => (0_usize..4, 0_u8..4).prop_map(|(held, outcome)| Op::Finish { held, outcome }),
        2 => (0_u64..90).prop_map(Op::Advance),
        1 => Just(Op::Restart),
    ]
}

/// Runs `ops`, then lets everything succeed. Laws: no two live leases in a lane; whatever is owed (wished, and
/// no run that began afterwards went well) is in the queue or among the dead; the queue drains.
async fn laws(ops: Vec<Op>) {
    let mut bench = Bench::new();
    let mut held: Vec<Leased> = Vec::new();
    let mut owed: BTreeMap<String, bool> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Wish { lane, key } => {
                let key = format!("{lane}-{key}");
                bench.wish(&lane.to_string(), &key).await;
                owed.insert(key, true);
            }
            Op::Lease => {
                if let Some(leased) = bench.lease().await {
                    let now = bench.clock.now();
                    let live = held.iter().filter(|other| other.lane == leased.lane && other.until > now);
                    assert_eq!(live.count(), 0, "two leases in one lane");
                    held.retain(|other| other.lane != leased.lane);
                    owed.insert(leased.key.clone(), false);
                    held.push(leased);
                }
            }
            Op::Finish { held: at, outcome } if !held.is_empty() => {
                let leased = held.remove(at % held.len());
                let outcome = match outcome {
                    0 => Outcome::Done,
                    1 => retry(),
                    2 => Outcome::Unavailable { after: None, why: String::new() },
                    _ => Outcome::Again { at: bench.clock.now() + Duration::from_secs(5) },
                };
                let done = outcome == Outcome::Done;
                bench.finish(&leased, outcome).await;
                if !done {
                    owed.insert(leased.key.clone(), true);
                }
            }
            Op::Finish { .. } => {}
            Op::Advance(seconds) => bench.clock.advance(Duration::from_secs(seconds)),
            Op::Restart => {
                for leased in held.drain(..) {
                    owed.insert(leased.key.clone(), true);
                }
                bench.restart();
            }
        }
    }
    nothing_is_lost_and_all_drains(&bench, owed).await;
}

async fn nothing_is_lost_and_all_drains(bench: &Bench, owed: BTreeMap<String, bool>) {
    let dead: Vec<String> = bench.queue.dead().await.unwrap().into_iter().map(|job| job.key).collect();
    let listed = bench.queue.list().await.unwrap();
    for (key, owed) in owed {
        if owed {
            assert!(keys(&listed).contains(&key.as_str()) || dead.contains(&key), "{key} was lost");
        }
    }
    let mut runs = 0;
    while !bench.queue.list().await.unwrap().is_empty() {
        bench.clock.advance(HOUR);
        while let Some(leased) = bench.lease().await {
            bench.finish(&leased, Outcome::Done).await;
        }
        runs += 1;
        assert!(runs < 10, "the queue does not drain");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_job_is_lost_and_none_is_leased_twice(ops in proptest::collection::vec(op(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(laws(ops));
    }
}
