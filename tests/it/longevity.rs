//! What time does to a gateway: old backups come back, clients stay away for months.

use std::time::Duration;

use lineartime::calendar::ChangesError;
use lineartime::store::{MemoryStore, dump};

use super::world::{FaultyStore, Manners, Trouble, World, event};

const DAY: Duration = Duration::from_hours(24);

/// A backup as `lineartime backup` writes it.
async fn backup(world: &World) -> Vec<u8> {
    let mut file = Vec::new();
    dump::dump(&world.store, &mut file).await.unwrap();
    file
}

/// What `lineartime restore` and a start afterwards do: the rows of the backup under a new epoch.
async fn restore(world: &mut World, file: &[u8], epoch: &str) {
    world.kill().await;
    let rows = MemoryStore::with_epoch(epoch.to_owned());
    dump::load(&mut std::io::Cursor::new(file), &rows).await.unwrap();
    world.store = FaultyStore::over(rows);
    world.boot();
}

/// Invariant I20: what is newer upstream is taken, and never written over or deleted, however old the backup is.
#[tokio::test]
async fn restore_old_backup() {
    let mut world = World::with_one(Manners::default()).await;
    let unified = world.unified();
    for name in ["a", "b", "c", "pending", "doomed"] {
        world.put(&unified, &format!("{name}.ics"), event(name, name, "")).await.unwrap();
    }
    world.sync().await;
    // Two changes are on their way when the backup is made.
    world.net.trouble(|_| Some(Trouble::Refused));
    world.put(&unified, "pending.ics", event("pending", "pending, from the backup", "")).await.unwrap();
    world.delete(&unified, "doomed.ics").await.unwrap();
    world.pass(Duration::from_mins(1)).await;
    let old = backup(&world).await;
    let token = world.calendars().token(&unified).await.unwrap();
    // They go through, and life goes on for three days, on both sides.
    world.net.heal();
    world.pass(Duration::from_hours(2)).await;
    assert_eq!(world.summaries_at("a", "work"), ["a", "b", "c", "pending, from the backup"]);
    world.put(&unified, "c.ics", event("c", "c, by a client later", "")).await.unwrap();
    world.put(&unified, "d.ics", event("d", "d, by a client later", "")).await.unwrap();
    world.sync().await;
    let a = world.at("a").find("work", "a").unwrap().0;
    let b = world.at("a").find("work", "b").unwrap().0;
    world.at("a").put("work", &a, event("a", "a, upstream later", ""));
    world.at("a").delete("work", &b);
    world.at("a").put("work", "doomed-again.ics", event("doomed", "doomed, made again", ""));
    world.pass(3 * DAY).await;
    let newest = [
        "a, upstream later",
        "c, by a client later",
        "d, by a client later",
        "doomed, made again",
        "pending, from the backup",
    ];
    assert_eq!(world.summaries_at("a", "work"), newest);

    restore(&mut world, &old, "another").await;
    let forgotten = world.calendars().changes(&unified, Some(&token), 100).await;
    assert!(matches!(forgotten, Err(ChangesError::UnknownToken)), "{forgotten:?}");
    world.pass(Duration::from_hours(8)).await;
    world.sync_full().await;
    assert_eq!(world.summaries_at("a", "work"), newest);
}

/// A phone in a drawer: after 90 days its token still gives all that it missed; after the age of tokens it starts anew.
#[tokio::test]
async fn client_offline_90_days() {
    let world = World::with_one(Manners::default()).await;
    let unified = world.unified();
    for n in 0..20 {
        world.put(&unified, &format!("{n}.ics"), event(&format!("u{n}"), "before", "")).await.unwrap();
    }
    let token = world.calendars().token(&unified).await.unwrap();
    for n in 0..30_usize {
        world.clock.advance(3 * DAY);
        let name = format!("{}.ics", n % 25);
        if n % 4 == 3 {
            drop(world.delete(&unified, &name).await);
        } else {
            world.put(&unified, &name, event(&format!("u{}", n % 25), &format!("day {n}"), "")).await.unwrap();
        }
        sweep(&world, 180 * DAY).await;
    }
    let missed = world.calendars().changes(&unified, Some(&token), 1000).await.unwrap();
    let all = world.calendars().changes(&unified, None, 1000).await.unwrap();
    // What it had, less what is gone, with what is changed, is all there is.
    let mut has: std::collections::BTreeSet<String> = (0..20).map(|n| format!("{n}.ics")).collect();
    has.retain(|name| !missed.gone.iter().any(|gone| gone.as_str() == name));
    has.extend(missed.changed.iter().map(|entry| entry.name.to_string()));
    let there: std::collections::BTreeSet<String> = all.changed.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(has, there);
    assert!(!missed.gone.is_empty() && !missed.changed.is_empty() && !missed.truncated);

    world.clock.advance(181 * DAY);
    world.put(&unified, "last.ics", event("last", "last", "")).await.unwrap();
    sweep(&world, 180 * DAY).await;
    let late = world.calendars().changes(&unified, Some(&token), 1000).await;
    assert!(matches!(late, Err(ChangesError::UnknownToken)), "{late:?}");
}

async fn sweep(world: &World, age: Duration) {
    use lineartime::clock::Clock as _;
    let before = world.clock.now().checked_sub(age).unwrap();
    world.calendars().compact(&world.unified(), before).await.unwrap();
}
