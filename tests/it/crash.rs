//! What was acknowledged survives a killed process, a power cut and a full disk, whole.
//!
//! The test binary runs itself as the process that is killed: [`child_that_writes`] is its part.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use lineartime::clock::SystemClock;
use lineartime::entropy::{self, Entropy, OsEntropy, SeededEntropy};
use lineartime::store::{
    self, Batch, CommitError, Config, EngineKind, Expect, Key, KeyRange, Store, SyncObserver, TableId,
};

use crate::store::{ON_DISK, open};

const KILLS: usize = 50;
const WRITERS: u64 = 4;
const ROWS: TableId = TableId(200);
const LOG: TableId = TableId(201);
const COUNTER: TableId = TableId(202);
const FILLING: TableId = TableId(203);

/// The batch that writer `writer` commits as its `nth`: three rows that must agree, and a line in the log.
fn batch(writer: u64, nth: u64) -> Batch {
    let mut batch = Batch::new();
    // Now and then a value that an engine keeps in a file of its own.
    let padding = if nth % 40 == 39 { 700_000 } else { usize::try_from(nth % 7).unwrap() * 900 };
    for slot in 0..3_u64 {
        let mut value = nth.to_be_bytes().to_vec();
        value.resize(8 + padding, 7);
        batch.put(Key::new(ROWS, &(writer, slot)), value.into());
    }
    if nth == 1 {
        batch.expect(Key::new(ROWS, &(writer, 0_u64)), Expect::Absent);
    }
    let line = [writer.to_be_bytes(), nth.to_be_bytes()].concat();
    batch.append(Key::new(COUNTER, &()), Key::new(LOG, &()), line.into());
    batch
}

fn number(value: &Bytes) -> u64 {
    u64::from_be_bytes(*value.first_chunk().unwrap())
}

async fn last_of(store: &dyn Store, writer: u64) -> u64 {
    let row = store.get(&Key::new(ROWS, &(writer, 0_u64))).await.unwrap();
    row.as_ref().map_or(0, number)
}

/// Writes until it is stopped, and tells `acknowledged` of each commit.
async fn write_for_ever(store: Arc<dyn Store>, writer: u64, acknowledged: impl Fn(u64, u64)) {
    let mut nth = last_of(&*store, writer).await;
    loop {
        nth += 1;
        match store.commit(batch(writer, nth)).await {
            Ok(_) => acknowledged(writer, nth),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What must hold after any crash: nothing acknowledged is missing, nothing is torn, the log has no gap.
async fn check(store: &dyn Store, acknowledged: &BTreeMap<u64, u64>) {
    let mut in_log = BTreeMap::<u64, Vec<u64>>::new();
    let log = store.scan(KeyRange::below(&Key::new(LOG, &())), usize::MAX).await.unwrap();
    for (at, (key, line)) in log.iter().enumerate() {
        assert_eq!(key.as_bytes()[1..], (at as u64 + 1).to_be_bytes(), "a gap in the log");
        in_log.entry(number(line)).or_default().push(number(&line.slice(8..)));
    }
    for writer in 0..WRITERS {
        let last = last_of(store, writer).await;
        let wanted = acknowledged.get(&writer).copied().unwrap_or(0);
        assert!(last >= wanted, "writer {writer}: {wanted} was acknowledged, {last} is there");
        for slot in 1..3_u64 {
            let row = store.get(&Key::new(ROWS, &(writer, slot))).await.unwrap();
            assert_eq!(row.as_ref().map_or(0, number), last, "writer {writer}: a torn batch");
        }
        let lines = in_log.remove(&writer).unwrap_or_default();
        assert_eq!(lines, (1..=last).collect::<Vec<_>>(), "writer {writer}: rows and log disagree");
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[test]
#[ignore = "the part of the killed process; run by the tests here"]
fn child_that_writes() {
    let Some(path) = std::env::var_os("LINEARTIME_CRASH_PATH") else { return };
    let engine = if path.to_string_lossy().ends_with("sled") { EngineKind::Sled } else { EngineKind::Redb };
    block_on(async {
        let store = open(engine, Path::new(&path)).unwrap();
        let tell = |writer, nth| {
            let mut out = std::io::stdout().lock();
            // One write each: a line is told whole or not at all.
            out.write_all(format!("ack {writer} {nth}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
        };
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write_for_ever(Arc::clone(&store), writer, tell)));
        futures_util::future::join_all(writers).await;
    });
}

fn spawn_child(path: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_writes", "--exact", "--ignored", "--nocapture"])
        .env("LINEARTIME_CRASH_PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child write for a random while, kills it, and gives back what it had acknowledged.
fn kill_one(path: &Path, entropy: &dyn Entropy) -> BTreeMap<u64, u64> {
    let mut child = spawn_child(path);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            if words.next().is_some_and(|word| word.ends_with("ack")) {
                let mut number = || words.next().unwrap().parse::<u64>().unwrap();
                sender.send((number(), number())).unwrap();
            }
        }
    });
    let mut acknowledged = BTreeMap::new();
    // Mostly while it writes, sometimes while it opens.
    if !entropy::number(entropy).is_multiple_of(5) {
        acknowledged.extend(told.recv_timeout(Duration::from_secs(20)).ok());
    }
    thread::sleep(Duration::from_micros(entropy::number(entropy) % 120_000));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    acknowledged.extend(told);
    acknowledged
}

fn survives_kills(engine: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(engine.as_str());
    let mut acknowledged = BTreeMap::new();
    for _ in 0..KILLS {
        acknowledged.extend(kill_one(&path, &OsEntropy));
        block_on(async {
            let store = open(engine, &path).unwrap();
            check(&*store, &acknowledged).await;
            store.close().await.unwrap();
        });
    }
    assert!(acknowledged.values().sum::<u64>() > KILLS as u64, "hardly anything was written");
}

#[test]
fn sled_survives_kills() {
    survives_kills(EngineKind::Sled);
}

#[test]
fn redb_survives_kills() {
    survives_kills(EngineKind::Redb);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // The engine's garbage collector may be faster.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

/// Writes over `target`, a copy of the synced state, a random part of what came after: whole 512-octet sectors.
///
/// redb syncs twice for a commit: first what the new root stands on, then the header that names it. So its header is
/// never new while something else is still old.
fn blend(later: &Path, target: &Path, engine: EngineKind, entropy: &dyn Entropy) {
    for entry in fs::read_dir(later).unwrap() {
        let entry = entry.unwrap();
        let to = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&to).unwrap();
            blend(&entry.path(), &to, engine, entropy);
            continue;
        }
        let new = fs::read(entry.path()).unwrap();
        let mut mixed = fs::read(&to).unwrap_or_default();
        let header = if engine == EngineKind::Redb { REDB_HEADER.min(mixed.len()) } else { 0 };
        if header > 0 && entropy::number(entropy).is_multiple_of(2) {
            // The second sync was under way: all but the header is new. A file that shrinks does so after it.
            let old_header = mixed[..header].to_vec();
            let tail = mixed.split_off(new.len().min(mixed.len()));
            mixed = [new.clone(), tail].concat();
            if entropy::number(entropy).is_multiple_of(2) {
                mixed[..header].copy_from_slice(&old_header);
            }
            fs::write(to, mixed).unwrap();
            continue;
        }
        // The new length may have reached the disk, or not, or in part.
        match entropy::number(entropy) % 3 {
            0 if header > 0 => mixed.resize(mixed.len().max(new.len()), 0),
            0 => mixed.resize(new.len(), 0),
            1 => mixed.resize(mixed.len().max(new.len() / 512 * 512), 0),
            _ => {}
        }
        for (old, new) in mixed.chunks_mut(512).zip(new.chunks(512)).skip(header / 512) {
            if entropy::number(entropy).is_multiple_of(2) {
                let length = old.len().min(new.len());
                old[..length].copy_from_slice(&new[..length]);
            }
        }
        fs::write(to, mixed).unwrap();
    }
}

/// The page that names the root (redb's `DB_HEADER_SIZE` fits into it).
const REDB_HEADER: usize = 4096;

/// The folder as of one sync, what was acknowledged by then, and the folder just after the next one.
struct Cut {
    folder: tempfile::TempDir,
    synced: PathBuf,
    later: PathBuf,
    acknowledged: BTreeMap<u64, u64>,
}

#[derive(Default)]
struct Camera {
    acknowledged: Mutex<BTreeMap<u64, u64>>,
    syncs: Mutex<u64>,
    half: Mutex<Option<Cut>>,
    cuts: Mutex<Vec<Cut>>,
}

impl Camera {
    /// Takes the two pictures at every tenth pair of syncs. The writer stands still meanwhile.
    fn synced(&self, home: &Path) {
        let mut syncs = self.syncs.lock().unwrap();
        *syncs += 1;
        let half = self.half.lock().unwrap().take();
        if let Some(cut) = half {
            copy(home, &cut.later);
            self.cuts.lock().unwrap().push(cut);
        } else if syncs.is_multiple_of(10) {
            let folder = tempfile::tempdir().unwrap();
            let (synced, later) = (folder.path().join("synced"), folder.path().join("later"));
            let acknowledged = self.acknowledged.lock().unwrap().clone();
            copy(home, &synced);
            *self.half.lock().unwrap() = Some(Cut { folder, synced, later, acknowledged });
        }
    }
}

const CUTS: usize = 12;
const BLENDS: u64 = 4;

async fn film(engine: EngineKind) -> Vec<Cut> {
    let folder = tempfile::tempdir().unwrap();
    let camera = Arc::new(Camera::default());
    let mut config = Config::new(engine, folder.path());
    let eye = Arc::clone(&camera);
    config.observer = Some(SyncObserver::new(move |home| eye.synced(home)));
    let store = store::open(&config, &SystemClock::new(), &OsEntropy).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let camera = Arc::clone(&camera);
        writers.spawn(write_for_ever(Arc::clone(&store), writer, move |writer, nth| {
            camera.acknowledged.lock().unwrap().insert(writer, nth);
        }));
    }
    while camera.cuts.lock().unwrap().len() < CUTS {
        tokio::task::yield_now().await;
    }
    writers.shutdown().await;
    store.close().await.unwrap();
    std::mem::take(&mut *camera.cuts.lock().unwrap())
}

#[test]
fn a_power_cut_loses_nothing_that_was_synced() {
    let seed = entropy::number(&OsEntropy);
    eprintln!("seed {seed}");
    let dice = SeededEntropy::new(seed);
    for engine in ON_DISK {
        let cuts = block_on(film(engine));
        for (at, cut) in cuts.iter().enumerate() {
            assert!(at == 0 || !cut.acknowledged.is_empty());
            for nth in 0..BLENDS {
                let path = cut.folder.path().join(format!("blend-{nth}"));
                let home = path.join(engine.as_str());
                copy(&cut.synced, &home);
                blend(&cut.later, &home, engine, &dice);
                block_on(async {
                    let store = open(engine, &path).unwrap_or_else(|error| panic!("{engine}, cut {at}: {error}"));
                    check(&*store, &cut.acknowledged).await;
                    store.close().await.unwrap();
                });
            }
        }
    }
}

/// Writes until the disk is full (here: until files may not grow), then reads all, then gets room and goes on.
#[test]
#[ignore = "the part of the process whose disk fills up; run by the tests here"]
fn child_that_fills_the_disk() {
    let Some(path) = std::env::var_os("LINEARTIME_CRASH_PATH") else { return };
    let engine = if path.to_string_lossy().ends_with("sled") { EngineKind::Sled } else { EngineKind::Redb };
    block_on(async {
        let store = open(engine, Path::new(&path)).unwrap();
        let mut acknowledged = 0;
        let error = loop {
            let mut filling = batch(0, acknowledged + 1);
            filling.put(Key::new(FILLING, &acknowledged), vec![7; 40_000].into());
            match store.commit(filling).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
            assert!(acknowledged < 2_000, "it was never full");
        };
        assert!(matches!(&error, CommitError::Store(error) if error.is_full()), "{error:?}");
        assert_eq!(last_of(&*store, 0).await, acknowledged, "reads go on, and show what was acknowledged");
        let pid = std::process::id().to_string();
        let room = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status();
        if room.is_ok_and(|status| status.success()) {
            let next = last_of(&*store, 0).await + 1;
            // The first commit after the failure opens the engine anew and may learn that the failed one is there.
            if store.commit(batch(0, next)).await.is_err() {
                store.commit(batch(0, last_of(&*store, 0).await + 1)).await.unwrap();
            }
            acknowledged = last_of(&*store, 0).await;
        }
        println!("full {acknowledged} end");
        store.close().await.unwrap();
    });
}

fn survives_a_full_disk(engine: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(engine.as_str());
    let program = std::env::current_exe().unwrap();
    // The signal must be ignored, as a server's would be, for the write to fail instead.
    let script =
        "trap '' XFSZ; ulimit -S -f 12000; exec \"$0\" crash::child_that_fills_the_disk --exact --ignored --nocapture";
    let output =
        Command::new("bash").arg("-c").arg(script).arg(program).env("LINEARTIME_CRASH_PATH", &path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let told = text.split("full ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let acknowledged = BTreeMap::from([(0, told.parse().unwrap())]);
    block_on(async {
        let store = open(engine, &path).unwrap();
        check(&*store, &acknowledged).await;
        store.close().await.unwrap();
    });
}

#[test]
fn sled_survives_a_full_disk() {
    survives_a_full_disk(EngineKind::Sled);
}

#[test]
fn redb_survives_a_full_disk() {
    survives_a_full_disk(EngineKind::Redb);
}
