//! Damaged files, wrong folders and second processes: a verdict in words, never a panic, never an empty store.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lineartime::clock::SystemClock;
use lineartime::entropy::{self, OsEntropy, SeededEntropy};
use lineartime::store::{self, Batch, Config, EngineKind, Key, KeyRange, OpenError, TableId, Verdict, dump};

use crate::store::{ON_DISK, examine, open};

const ROWS: TableId = TableId(200);
const COUNT: u64 = 400;

type Damage = Box<dyn Fn(&Path)>;

fn all() -> KeyRange {
    KeyRange::below(&Key::new(ROWS, &()))
}

/// A closed store with [`COUNT`] rows in several commits.
async fn filled(engine: EngineKind) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(engine, folder.path()).unwrap();
    for part in 0..20_u64 {
        let mut batch = Batch::new();
        for n in 0..COUNT / 20 {
            batch.put(Key::new(ROWS, &(part, n)), Bytes::from(vec![u8::try_from(part).unwrap(); 700]));
        }
        store.commit(batch).await.unwrap();
    }
    store.close().await.unwrap();
    folder
}

fn data_file(engine: EngineKind, path: &Path) -> PathBuf {
    path.join(engine.as_str()).join(if engine == EngineKind::Sled { "db" } else { "rows.redb" })
}

/// Opens and reads all. Whatever is given back without an error must be everything.
async fn whole_or_refused(engine: EngineKind, path: &Path) -> Result<(), String> {
    let store = open(engine, path).map_err(|error| error.to_string())?;
    let rows = store.scan(all(), usize::MAX).await;
    store.close().await.unwrap();
    match rows {
        Ok(rows) => {
            assert_eq!(rows.len() as u64, COUNT, "{engine}: rows are missing, and nothing was said");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_lost_snapshot_of_sled_is_repaired_and_the_old_files_are_kept() {
    for stray in ["empty", "half", "generating"] {
        let folder = filled(EngineKind::Sled).await;
        let home = folder.path().join("sled");
        for entry in fs::read_dir(&home).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
                let old = fs::read(&path).unwrap();
                match stray {
                    "empty" => fs::write(&path, b"").unwrap(),
                    "half" => fs::write(&path, &old[..old.len() / 2]).unwrap(),
                    _ => fs::write(path.with_extension("FFFF.generating"), &old[..old.len() / 2]).unwrap(),
                }
            }
        }
        let verdict = examine(EngineKind::Sled, folder.path()).unwrap();
        if stray != "generating" {
            assert!(matches!(verdict, Verdict::Repaired { .. }), "{stray}: {verdict:?}");
            let kept = fs::read_dir(folder.path()).unwrap().flatten();
            assert!(kept.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().contains("corrupt-")));
        }
        whole_or_refused(EngineKind::Sled, folder.path()).await.unwrap();
        assert!(
            matches!(examine(EngineKind::Sled, folder.path()).unwrap(), Verdict::Healthy { rows } if rows >= COUNT)
        );
    }
}

#[tokio::test]
async fn flipped_bits_are_never_silent() {
    let seed = entropy::number(&OsEntropy);
    eprintln!("seed {seed}");
    let dice = SeededEntropy::new(seed);
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let file = data_file(engine, folder.path());
        let good = fs::read(&file).unwrap();
        let mut noticed = 0;
        for round in 0..24 {
            let copy = tempfile::tempdir().unwrap();
            copy_all(folder.path(), copy.path());
            let mut bad = good.clone();
            for _ in 0..=(round % 3) * 20 {
                let at = usize::try_from(entropy::number(&dice) % bad.len() as u64).unwrap();
                bad[at] ^= 1 << (entropy::number(&dice) % 8);
            }
            fs::write(data_file(engine, copy.path()), bad).unwrap();
            noticed += usize::from(whole_or_refused(engine, copy.path()).await.is_err());
            // The doctor may find more than a reader does, but it always finds words.
            examine(engine, copy.path()).unwrap();
        }
        assert!(noticed > 0, "{engine}: the flips were not even seen");
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_cut_emptied_or_missing_file_is_never_a_new_store() {
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let length = fs::metadata(data_file(engine, folder.path())).unwrap().len();
        let mut damages: Vec<(String, Damage)> = vec![
            ("missing".into(), Box::new(|file| fs::remove_file(file).unwrap())),
            ("zeros".into(), Box::new(move |file| fs::write(file, vec![0; usize::try_from(length).unwrap()]).unwrap())),
        ];
        for eighths in 0..8 {
            let cut = move |file: &Path| {
                fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length * eighths / 8).unwrap();
            };
            damages.push((format!("cut to {eighths}/8"), Box::new(cut)));
        }
        for (name, damage) in damages {
            let copy = tempfile::tempdir().unwrap();
            copy_all(folder.path(), copy.path());
            damage(&data_file(engine, copy.path()));
            let outcome = whole_or_refused(engine, copy.path()).await;
            let again = whole_or_refused(engine, copy.path()).await;
            assert_eq!(outcome.is_ok(), again.is_ok(), "{engine}, {name}: {outcome:?}, then {again:?}");
            if !name.contains("/8") {
                let words = outcome.expect_err(&name);
                assert!(words.contains("damaged") && words.contains("restore"), "{engine}, {name}: {words}");
                assert!(matches!(examine(engine, copy.path()).unwrap(), Verdict::Damaged { .. }));
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_lost_acknowledged_commits_is_refused() {
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let old = tempfile::tempdir().unwrap();
        copy_all(folder.path(), old.path());
        let store = open(engine, folder.path()).unwrap();
        let mut batch = Batch::new();
        batch.put(Key::new(ROWS, &9_u64), Bytes::new());
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
        // The files go back in time, but not the note of what was acknowledged.
        let mark = |path: &Path| path.join(engine.as_str()).join("acknowledged");
        fs::copy(mark(folder.path()), mark(old.path())).unwrap();
        let error = open(engine, old.path()).unwrap_err().to_string();
        assert!(error.contains("the last 1 acknowledged changes are missing"), "{error}");
    }
}

#[tokio::test]
async fn wrong_folders_are_told_in_words() {
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let store = open(engine, folder.path()).unwrap();
        let error = open(engine, folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains("in use by another process"));
        assert!(matches!(examine(engine, folder.path()), Err(OpenError::InUse { .. })));
        store.close().await.unwrap();

        let other = if engine == EngineKind::Sled { EngineKind::Redb } else { EngineKind::Sled };
        let error = open(other, folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::OtherEngine { .. }), "{error:?}");

        let file = folder.path().join("lock");
        let error = open(engine, &file.join("below")).unwrap_err();
        assert!(matches!(error, OpenError::Unwritable { .. }), "{error:?}");

        let home = folder.path().join(engine.as_str());
        fs::rename(&home, folder.path().join(format!("{engine}.corrupt-20260101T000000Z"))).unwrap();
        let error = open(engine, folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_interrupted_making_or_repair_is_cleared_away_or_finished() {
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let at = |suffix: &str| folder.path().join(format!("{engine}{suffix}"));
        for half in [".new", ".repairing"] {
            fs::create_dir(at(half)).unwrap();
            fs::write(at(half).join("db"), b"half").unwrap();
        }
        whole_or_refused(engine, folder.path()).await.unwrap();
        assert!(!at(".new").exists() && !at(".repairing").exists());
        fs::rename(at(""), at(".repaired")).unwrap();
        fs::create_dir(at(".corrupt-20260101T000000Z")).unwrap();
        whole_or_refused(engine, folder.path()).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_moves_to_the_other_engine_with_its_epoch() {
    let (from, to) = (filled(EngineKind::Sled).await, tempfile::tempdir().unwrap());
    let old = open(EngineKind::Sled, from.path()).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let summary = dump::dump(&*old, &mut file).await.unwrap();
    let mut config = Config::new(EngineKind::Redb, to.path());
    config.carried_epoch = Some(summary.epoch);
    let new = store::open(&config, &SystemClock::new(), &OsEntropy).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    dump::load(&mut file, &*new).await.unwrap();
    assert_eq!(new.epoch(), old.epoch());
    assert_eq!(new.scan(all(), usize::MAX).await.unwrap(), old.scan(all(), usize::MAX).await.unwrap());
    for store in [old, new] {
        store.close().await.unwrap();
    }
}

/// Turns one octet in the middle of a value.
fn spoil_a_value(file: &Path) {
    let mut octets = fs::read(file).unwrap();
    let at = octets.windows(600).position(|run| run.iter().all(|octet| *octet == 7)).unwrap();
    octets[at + 300] ^= 1;
    fs::write(file, octets).unwrap();
}

#[tokio::test]
async fn a_loss_that_is_accepted_leaves_a_whole_store_and_the_old_files() {
    for engine in ON_DISK {
        let folder = filled(engine).await;
        let file = data_file(engine, folder.path());
        spoil_a_value(&file);
        let verdict = examine(engine, folder.path()).unwrap();
        assert!(matches!(verdict, Verdict::Damaged { .. }), "{engine}: {verdict:?}");
        // Read after the look: sled tidies its log whenever it is opened.
        let damaged = fs::read(&file).unwrap();
        let config = Config::new(engine, folder.path());
        let salvaged = store::salvage(&config, &SystemClock::new(), &OsEntropy).unwrap();
        assert!(salvaged.kept > COUNT / 4 && salvaged.kept < COUNT, "{engine}: {salvaged:?}");
        // sled reads nothing behind the damage, and so can't say what is missing.
        assert!(salvaged.lost > 0 || engine == EngineKind::Sled, "{engine}: {salvaged:?}");
        assert!(salvaged.aside.is_dir());
        let aside = fs::read(salvaged.aside.join(file.file_name().unwrap())).unwrap();
        assert!(aside == damaged, "{engine}: salvaging has changed the old files");
        let verdict = examine(engine, folder.path()).unwrap();
        assert!(matches!(verdict, Verdict::Healthy { rows } if rows >= salvaged.kept), "{engine}: {verdict:?}");
        let store = open(engine, folder.path()).unwrap();
        let rows = store.scan(all(), usize::MAX).await.unwrap();
        assert_eq!(rows.len() as u64, salvaged.kept);
        store.close().await.unwrap();
    }
}
