//! Every engine keeps the laws of a store.

use std::path::Path;
use std::sync::Arc;

use lineartime::clock::SystemClock;
use lineartime::entropy::OsEntropy;
use lineartime::store::contract::{self, Bench, Change, Guess, Op};
use lineartime::store::{self, Config, EngineKind, OpenError, Store, Verdict};
use proptest::prelude::*;
use tempfile::TempDir;

pub(crate) struct Folder {
    engine: EngineKind,
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new(engine: EngineKind) -> Self {
        Self { engine, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn open(engine: EngineKind, path: &Path) -> Result<Arc<dyn Store>, OpenError> {
    store::open(&Config::new(engine, path), &SystemClock::new(), &OsEntropy)
}

pub(crate) fn examine(engine: EngineKind, path: &Path) -> Result<Verdict, OpenError> {
    store::examine(&Config::new(engine, path), &SystemClock::new())
}

impl Bench for Folder {
    fn open(&self) -> Arc<dyn Store> {
        open(self.engine, self.path()).unwrap()
    }

    fn keeps(&self) -> bool {
        self.engine != EngineKind::Memory
    }
}

pub(crate) const ON_DISK: [EngineKind; 2] = [EngineKind::Sled, EngineKind::Redb];
const ALL: [EngineKind; 3] = [EngineKind::Memory, EngineKind::Sled, EngineKind::Redb];

/// Runs one law on each engine, with two workers: races are part of the laws.
async fn on_all(law: impl AsyncFn(&dyn Bench)) {
    for engine in ALL {
        eprintln!("{engine}");
        law(&Folder::new(engine)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_what_was_last_written() {
    on_all(contract::a_row_is_what_was_last_written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_batch_writes_nothing() {
    on_all(contract::a_stale_batch_writes_nothing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_swaps_wins() {
    on_all(contract::one_of_many_swaps_wins).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_numbered_without_gaps() {
    on_all(contract::appends_are_numbered_without_gaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_keep_to_range_order_and_limit() {
    on_all(contract::scans_keep_to_range_order_and_limit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_sees_one_moment() {
    on_all(contract::a_scan_sees_one_moment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_misses_nothing() {
    on_all(contract::a_wake_misses_nothing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_and_keeps() {
    on_all(contract::closing_ends_and_keeps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_all_or_refused() {
    on_all(contract::a_dump_is_all_or_refused).await;
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..40_u8, any::<u8>(), prop_oneof![0..200_u16, 0..20_000_u16]).prop_map(|(n, o, l)| Change::Put(n, o, l)),
        2 => (0..40_u8).prop_map(Change::Delete),
        2 => (0..3_u8).prop_map(Change::Append),
    ]
}

fn guess() -> impl Strategy<Value = (u8, Guess)> {
    let guess = prop_oneof![Just(Guess::Absent), Just(Guess::Present), Just(Guess::Right), Just(Guess::Wrong)];
    (0..40_u8, guess)
}

fn history() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        10 => (prop::collection::vec(change(), 0..6), prop::option::weighted(0.4, guess()))
            .prop_map(|(changes, guess)| Op::Commit(changes, guess)),
        4 => (0..40_u8, 0..40_u8, 0..30_usize, any::<bool>()).prop_map(|(f, t, l, b)| Op::Scan(f, t, l, b)),
        1 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..40)
}

fn run(history: &[Op], engine: EngineKind) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(contract::every_history_is_that_of_a_map(&Folder::new(engine), history));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_history_on_disk_is_that_of_a_map(history in history()) {
        for engine in ON_DISK {
            run(&history, engine);
        }
    }
}

proptest! {
    #[test]
    fn every_history_in_memory_is_that_of_a_map(history in history()) {
        run(&history, EngineKind::Memory);
    }
}
