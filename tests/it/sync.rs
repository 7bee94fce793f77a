//! The field's bugs as scenarios (`reliability.md` 4.6, the fault catalogue): the real engine between two upstreams.

use std::time::Duration;

use lineartime::calendar::{Conditions, ConflictKind, Decision, Mirror, PutError};
use lineartime::store::Store;
use lineartime::sync::{Health, Verdict};
use lineartime::vault::Secret;

use crate::world::{Manners, Tags, Trouble, Upstream, World, event, value_of};

const HOUR: Duration = Duration::from_hours(1);

/// Twelve events upstream, all read.
async fn a_dozen() -> World {
    let world = World::with_one(Manners::default()).await;
    for n in 0..12 {
        world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
    }
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await.len(), 12);
    world
}

#[tokio::test]
async fn what_is_upstream_shows_and_what_a_client_writes_goes_there() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "There", ""));
    world.sync().await;
    let put = world.put(&world.unified(), "2.ics", event("u2", "Here", "")).await.unwrap();
    assert_eq!(put.pending.len(), 1);
    world.idle().await;
    assert_eq!(world.verdict(&put.pending).await, Some(Verdict::Accepted));
    assert_eq!(world.summaries(&world.unified()).await, ["Here", "There"]);
    assert_eq!(world.summaries_at("a", "work"), ["Here", "There"]);
    world.put(&world.unified(), "1.ics", event("u1", "Edited", "")).await.unwrap();
    world.idle().await;
    assert_eq!(world.summaries_at("a", "work"), ["Edited", "Here"]);
    world.delete(&world.unified(), "2.ics").await.unwrap();
    world.idle().await;
    assert_eq!(world.summaries_at("a", "work"), ["Edited"]);
    world.at("a").delete("work", "1.ics");
    world.sync().await;
    assert!(world.summaries(&world.unified()).await.is_empty());
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_quiet_poll_costs_one_request() {
    for sync in [true, false] {
        let world = World::with_one(Manners { sync, ..Manners::default() }).await;
        world.at("a").put("work", "1.ics", event("u1", "A", ""));
        world.sync().await;
        world.net.take_lines();
        world.sync().await;
        assert_eq!(world.net.take_lines().len(), 1, "sync {sync}");
    }
}

#[tokio::test]
async fn killed_mid_sync_does_not_delete_both_sides() {
    // Killed after every possible number of steps of a round that reads, deletes and writes.
    for steps in (0..120).step_by(3) {
        let mut world = World::with_two(steps, Manners::default()).await;
        for n in 0..6 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
        }
        world.sync().await;
        world.at("a").put("work", "7.ics", event("u7", "E7", ""));
        world.at("a").delete("work", "5.ics");
        world.store.dial().yields.store(true, std::sync::atomic::Ordering::SeqCst);
        world.put(&world.unified(), "8.ics", event("u8", "E8", "")).await.unwrap();
        world.engine().sync_now(&world.user, None, true).await.unwrap();
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        world.restart().await;
        world.sync().await;
        world.pass(Duration::from_mins(2)).await;
        let expected = ["E0", "E1", "E2", "E3", "E4", "E7", "E8"];
        assert_eq!(world.summaries(&world.unified()).await, expected, "killed after {steps}");
        let mut there = world.summaries_at("a", "work");
        there.extend(world.summaries_at("b", "work"));
        there.sort();
        assert_eq!(there, expected, "killed after {steps}");
        world.assert_quiet(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn source_feed_temporarily_empty() {
    let lies =
        [Trouble::Empty, Trouble::Html, Trouble::Truncated, Trouble::Status(404, None), Trouble::Status(403, None)];
    for sync in [true, false] {
        for lie in lies {
            let world = World::with_one(Manners { sync, ..Manners::default() }).await;
            for n in 0..3 {
                world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
            }
            world.sync().await;
            world.net.trouble(move |_| Some(lie));
            world.sync_full().await;
            world.pass(2 * HOUR).await;
            assert_eq!(world.summaries(&world.unified()).await.len(), 3, "{lie:?}");
            world.net.heal();
            world.pass(3 * HOUR).await;
            assert_eq!(world.summaries(&world.unified()).await.len(), 3, "{lie:?}");
            let status = world.engine().status(None).await.unwrap();
            assert_eq!(status.accounts[0].state, Health::Healthy, "{lie:?}: {status:?}");
            assert_eq!(world.take_writes("a"), Vec::<String>::new());
            world.assert_quiet(&["a"]).await;
        }
    }
}

#[tokio::test]
async fn an_emptied_calendar_is_asked_twice_and_believed() {
    let world = World::with_one(Manners { sync: false, ..Manners::default() }).await;
    for n in 0..3 {
        world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), "E", ""));
    }
    world.sync().await;
    for n in 0..3 {
        world.at("a").delete("work", &format!("{n}.ics"));
    }
    world.pass(HOUR).await;
    assert!(world.summaries(&world.unified()).await.is_empty());
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn full_list_has_no_tombstones() {
    for page in [None, Some(2)] {
        let world = World::with_one(Manners { page, ..Manners::default() }).await;
        for n in 0..5 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
        }
        world.sync().await;
        world.pass(HOUR).await;
        world.at("a").delete("work", "3.ics");
        world.at("a").forget_tokens("work");
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await, ["E0", "E1", "E2", "E4"]);
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn a_listing_that_lags_behind_a_write_deletes_nothing() {
    let world = World::with_one(Manners { sync: false, ..Manners::default() }).await;
    world.at("a").put("work", "0.ics", event("u0", "E0", ""));
    world.sync().await;
    let old = world.at("a").clone();
    world.put(&world.unified(), "1.ics", event("u1", "New", "")).await.unwrap();
    world.idle().await;
    // The listing is that of before; single objects are known.
    let stale = std::sync::Mutex::new(old);
    let net = world.net.clone();
    let body = stale.lock().unwrap().answer(&list_request()).body;
    world.net.trouble(|_| None);
    net.answer_lists_with(Some(body));
    world.sync_full().await;
    net.answer_lists_with(None);
    assert_eq!(world.summaries(&world.unified()).await, ["E0", "New"]);
    world.assert_quiet(&["a"]).await;
}

fn list_request() -> http::Request<bytes::Bytes> {
    http::Request::builder()
        .method("PROPFIND")
        .uri("https://a.example.org/home/work/")
        .header("depth", "1")
        .body(bytes::Bytes::new())
        .unwrap()
}

#[tokio::test]
async fn deleted_in_a_modified_in_b() {
    // Deleted by a client, edited there.
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").put("work", "1.ics", event("u1", "Edited there", ""));
    world.delete(&world.unified(), "1.ics").await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["Edited there"]);
    assert_eq!(world.summaries_at("a", "work"), ["Edited there"]);
    let conflicts = world.conflicts().await;
    assert_eq!((conflicts.len(), conflicts[0].kind), (1, ConflictKind::EditDelete));
    // Deleted there, edited by a client.
    world.at("a").delete("work", "1.ics");
    world.put(&world.unified(), "1.ics", event("u1", "Edited here", "")).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["Edited here"]);
    assert_eq!(world.summaries_at("a", "work"), ["Edited here"]);
    assert_eq!(world.conflicts().await.len(), 2);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn deleted_on_both_sides_stays_deleted() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").delete("work", "1.ics");
    world.delete(&world.unified(), "1.ics").await.unwrap();
    world.sync().await;
    assert!(world.summaries(&world.unified()).await.is_empty());
    assert!(world.summaries_at("a", "work").is_empty());
    assert!(world.conflicts().await.is_empty());
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn changes_to_different_properties_both_survive_and_the_same_one_is_recorded() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").put("work", "1.ics", event("u1", "A", "LOCATION:There\r\n"));
    world.put(&world.unified(), "1.ics", event("u1", "Mine", "")).await.unwrap();
    world.sync().await;
    let there = world.at("a").octets("work", "1.ics").unwrap();
    assert_eq!(
        (value_of(&there, "SUMMARY"), value_of(&there, "LOCATION")),
        (Some("Mine".into()), Some("There".into()))
    );
    assert!(world.conflicts().await.is_empty());
    world.at("a").put("work", "1.ics", event("u1", "Theirs", "LOCATION:There\r\n"));
    world.put(&world.unified(), "1.ics", event("u1", "Ours", "LOCATION:There\r\n")).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries_at("a", "work"), ["Ours"]);
    assert_eq!(world.summaries(&world.unified()).await, ["Ours"]);
    let conflicts = world.conflicts().await;
    assert_eq!((conflicts.len(), conflicts[0].kind, conflicts[0].decision), (1, ConflictKind::Edit, Decision::Ours));
    let theirs = conflicts[0].theirs.unwrap();
    let lost = world.calendars().octets(&world.user, conflicts[0].event, theirs).await.unwrap().unwrap();
    assert_eq!(value_of(&lost, "SUMMARY").as_deref(), Some("Theirs"));
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn etag_only_change_is_noop() {
    for sync in [true, false] {
        let world = World::with_two(1, Manners { sync, ..Manners::default() }).await;
        for account in ["a", "b"] {
            world.at(account).put("work", "1.ics", event("u1", "A", ""));
        }
        world.sync().await;
        let before = world.calendars().token(&world.unified()).await.unwrap();
        for _ in 0..3 {
            world.at("a").touch("work", "1.ics");
            world.sync().await;
        }
        assert_eq!(world.calendars().token(&world.unified()).await.unwrap().to_string(), before.to_string());
        assert_eq!(world.take_writes("a").len() + world.take_writes("b").len(), 0);
        // And it still can be written, under the tag of now.
        world.put(&world.unified(), "1.ics", event("u1", "B", "")).await.unwrap();
        world.sync().await;
        assert_eq!(
            (world.summaries_at("a", "work"), world.summaries_at("b", "work")),
            (vec!["B".into()], vec!["B".into()])
        );
        world.assert_quiet(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn null_etag_on_upload() {
    for tags in [Tags::Strong, Tags::Weak, Tags::None] {
        for rewrites in [false, true] {
            let manners = Manners { tag_on_put: false, rewrites, tags, ..Manners::default() };
            let world = World::with_one(manners).await;
            world.put(&world.unified(), "1.ics", event("u1", "A", "X-KEPT:here\r\n")).await.unwrap();
            world.sync().await;
            world.put(&world.unified(), "1.ics", event("u1", "B", "X-KEPT:here\r\n")).await.unwrap();
            world.sync().await;
            world.pass(HOUR).await;
            assert_eq!(world.summaries_at("a", "work"), ["B"], "{tags:?} {rewrites}");
            let shown = world.shown(&world.unified()).await;
            assert_eq!(value_of(&shown["1.ics"], "X-KEPT").as_deref(), Some("here"), "{tags:?} {rewrites}");
            // Their edit comes in without what they never held being lost.
            let name = world.at("a").names("work").remove(0);
            world.at("a").put("work", &name, event("u1", "C", ""));
            world.sync_full().await;
            let shown = world.shown(&world.unified()).await;
            assert_eq!(value_of(&shown["1.ics"], "SUMMARY").as_deref(), Some("C"), "{tags:?} {rewrites}");
            if rewrites {
                assert_eq!(value_of(&shown["1.ics"], "X-KEPT").as_deref(), Some("here"), "{tags:?}");
            }
            world.assert_quiet(&["a"]).await;
        }
    }
}

#[tokio::test]
async fn two_hrefs_one_uid() {
    for sync in [true, false] {
        let world = World::with_one(Manners { sync, unique_uids: false, ..Manners::default() }).await;
        world.at("a").put("work", "1.ics", event("u1", "First", ""));
        world.sync().await;
        world.at("a").put("work", "2.ics", event("u1", "Second", ""));
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await, ["First"]);
        let source = world.source("a", "work").await.id;
        let status = world.engine().status(None).await.unwrap();
        assert_eq!(status.accounts[0].state, Health::Degraded, "{source}");
        // The one that was first goes: the other takes its place.
        world.at("a").delete("work", "1.ics");
        world.sync().await;
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await, ["Second"], "sync {sync}");
        assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::Healthy);
        assert_eq!(world.at("a").names("work"), ["2.ics"]);
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn an_object_that_moves_to_another_href_stays_itself() {
    for sync in [true, false] {
        let world = World::with_one(Manners { sync, ..Manners::default() }).await;
        world.at("a").put("work", "1.ics", event("u1", "A", ""));
        world.at("a").put("work", "9.ics", event("u9", "B", ""));
        world.sync().await;
        let before = world.shown(&world.unified()).await;
        world.at("a").delete("work", "1.ics");
        world.at("a").put("work", "2.ics", event("u1", "A", ""));
        world.sync().await;
        assert_eq!(world.shown(&world.unified()).await, before);
        world.put(&world.unified(), "1.ics", event("u1", "Edited", "")).await.unwrap();
        world.sync().await;
        assert_eq!(world.at("a").names("work"), ["2.ics", "9.ics"]);
        assert_eq!(world.summaries_at("a", "work"), ["B", "Edited"]);
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn a_uid_that_changes_under_its_href_is_another_object() {
    for sync in [true, false] {
        let world = World::with_one(Manners { sync, ..Manners::default() }).await;
        world.at("a").put("work", "1.ics", event("u1", "Old", ""));
        world.at("a").put("work", "2.ics", event("u2", "Other", ""));
        world.sync().await;
        world.at("a").put("work", "1.ics", event("u3", "New", ""));
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await, ["New", "Other"], "sync {sync}");
        // And with an edit of ours under way.
        world.at("a").put("work", "1.ics", event("u4", "Newer", ""));
        let name = world
            .shown(&world.unified())
            .await
            .into_iter()
            .find(|(_, o)| value_of(o, "UID").unwrap() == "u3")
            .unwrap()
            .0;
        world.put(&world.unified(), &name, event("u3", "Ours", "")).await.unwrap();
        world.sync().await;
        world.net.take_lines();
        world.pass(HOUR).await;
        assert!(world.net.take_lines().len() < 20, "no loop of requests");
        assert_eq!(world.summaries(&world.unified()).await, ["Newer", "Other", "Ours"]);
        assert_eq!(world.summaries_at("a", "work"), ["Newer", "Other", "Ours"]);
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn reconnect_does_not_duplicate_calendar() {
    let world = World::with_one(Manners::default()).await;
    for n in 0..3 {
        world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), "E", ""));
    }
    world.sync().await;
    let account = world.account("a").await;
    world.engine().remove(&account).await.unwrap();
    world.idle().await;
    assert_eq!(world.at("a").names("work").len(), 3, "nothing upstream is touched");
    world.connect("a").await;
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await.len(), 3);
    assert_eq!(world.accounts().sources(&world.user).await.unwrap().len(), 1);
    assert_eq!(world.at("a").names("work").len(), 3);
    // New calendars come, known ones stay one.
    for _ in 0..3 {
        world.pass(7 * HOUR).await;
    }
    assert_eq!(world.accounts().sources(&world.user).await.unwrap().len(), 1);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn delete_uses_listed_href() {
    let world = World::with_one(Manners::default()).await;
    for name in ["strange name @ 1", "b%20c.ics", "ü.ics"] {
        world.at("a").put("work", name, event(name, name, ""));
    }
    world.sync().await;
    for name in world.shown(&world.unified()).await.into_keys() {
        world.delete(&world.unified(), &name).await.unwrap();
    }
    world.sync().await;
    assert_eq!(world.at("a").names("work"), Vec::<String>::new());
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn timeout_is_not_bad_credentials() {
    let world = World::with_one(Manners::default()).await;
    for trouble in [Trouble::TimedOut, Trouble::Refused, Trouble::Status(503, Some(60)), Trouble::Status(500, None)] {
        world.net.trouble(move |_| Some(trouble));
        world.pass(3 * HOUR).await;
        let status = world.engine().status(None).await.unwrap();
        assert_eq!(status.accounts[0].state, Health::Down, "{trouble:?}");
        world.net.heal();
        world.pass(3 * HOUR).await;
        assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::Healthy, "{trouble:?}");
    }
    // A refused password is: nothing is tried on until a person signs in.
    world.put(&world.unified(), "1.ics", event("u1", "A", "")).await.unwrap();
    world.net.trouble(|_| Some(Trouble::Status(401, None)));
    world.pass(HOUR).await;
    world.net.take_lines();
    world.pass(24 * HOUR).await;
    assert_eq!(world.net.take_lines(), Vec::<String>::new());
    assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::NeedsSignIn);
    world.net.heal();
    let account = world.account("a").await;
    world.accounts().sign_in(&account, &Secret::new("correct horse")).await.unwrap();
    world.engine().attend(&account).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries_at("a", "work"), ["A"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn an_hour_without_upstream_queues_writes_and_drains_them() {
    let world = World::with_one(Manners::default()).await;
    world.net.trouble(|_| Some(Trouble::Refused));
    for n in 0..5 {
        world.put(&world.unified(), &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), "")).await.unwrap();
        world.pass(Duration::from_mins(12)).await;
    }
    let status = world.engine().status(None).await.unwrap();
    assert_eq!((status.accounts[0].state, status.queue), (Health::Down, 5));
    world.net.heal();
    world.pass(2 * HOUR).await;
    assert_eq!(world.summaries_at("a", "work"), ["E0", "E1", "E2", "E3", "E4"]);
    assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::Healthy);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_lost_answer_doubles_nothing() {
    for trouble in [Trouble::AnswerLost, Trouble::CarriedOutBut500] {
        let world = World::with_one(Manners::default()).await;
        world.put(&world.unified(), "0.ics", event("u0", "Z", "")).await.unwrap();
        world.sync().await;
        let lose = |method: &'static str| {
            let mut left = 1;
            move |request: &http::Request<bytes::Bytes>| {
                let hit = request.method() == method && left > 0;
                left -= i32::from(hit);
                hit.then_some(trouble)
            }
        };
        world.net.trouble(lose("PUT"));
        world.put(&world.unified(), "1.ics", event("u1", "A", "")).await.unwrap();
        world.pass(HOUR).await;
        assert_eq!(world.summaries_at("a", "work"), ["A", "Z"]);
        world.net.trouble(lose("PUT"));
        world.put(&world.unified(), "1.ics", event("u1", "B", "")).await.unwrap();
        world.pass(HOUR).await;
        assert_eq!(world.summaries_at("a", "work"), ["B", "Z"]);
        world.net.trouble(lose("DELETE"));
        world.delete(&world.unified(), "1.ics").await.unwrap();
        world.pass(HOUR).await;
        assert_eq!(world.summaries_at("a", "work"), ["Z"]);
        assert_eq!(world.summaries(&world.unified()).await, ["Z"]);
        assert!(world.conflicts().await.is_empty(), "{:?}", world.conflicts().await);
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn override_without_master() {
    let world = World::with_two(1, Manners::default()).await;
    let alone = event("u1", "Just this one", "RECURRENCE-ID:20260601T100000Z\r\n");
    world.at("a").put("work", "1.ics", alone.clone());
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["Just this one"]);
    // The master comes later.
    let text = String::from_utf8(alone.to_vec()).unwrap();
    let master = "BEGIN:VEVENT\r\nUID:u1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260525T100000Z\r\nRRULE:FREQ=WEEKLY\r\nSUMMARY:Weekly\r\nEND:VEVENT\r\n";
    world.at("a").put("work", "1.ics", text.replacen("BEGIN:VEVENT", &format!("{master}BEGIN:VEVENT"), 1));
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["Weekly"]);
    world.assert_quiet(&["a", "b"]).await;
}

#[tokio::test]
async fn move_between_calendars_is_not_delete_plus_create_loss() {
    use lineartime::calendar::Overwrite;
    use lineartime::id::Place;
    for broken in [None, Some(Trouble::Refused), Some(Trouble::AnswerLost)] {
        let world = World::with_two(1, Manners::default()).await;
        world.at("a").put("work", "1.ics", event("u1", "A", ""));
        world.sync().await;
        let (from, to) = (world.mirror("a", "work").await, world.mirror("b", "work").await);
        // The receiving side fails at first: the giving side must keep it until then.
        world.net.trouble(move |request| broken.filter(|_| request.uri().host().unwrap().starts_with("b.")));
        let place =
            |collection: &_, name: &str| Place { collection: Clone::clone(collection), name: name.parse().unwrap() };
        let (from, to) = (place(&from, "1.ics"), place(&to, "1.ics"));
        let calendars = world.calendars();
        calendars.move_to(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &world.author()).await.unwrap();
        world.pass(HOUR).await;
        if broken == Some(Trouble::Refused) {
            assert_eq!(world.summaries_at("a", "work"), ["A"], "not deleted before it is there");
        }
        world.net.heal();
        world.pass(3 * HOUR).await;
        assert_eq!(world.summaries_at("a", "work"), Vec::<String>::new(), "{broken:?}");
        assert_eq!(world.summaries_at("b", "work"), ["A"], "{broken:?}");
        assert_eq!(world.summaries(&world.unified()).await, ["A"]);
        world.assert_quiet(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn two_devices_same_event_412() {
    let world = World::with_one(Manners::default()).await;
    let first = world.put(&world.unified(), "1.ics", event("u1", "A", "")).await.unwrap();
    let when = Conditions::unchanged(first.etag);
    world.put_if(&world.unified(), "1.ics", event("u1", "B", ""), &when).await.unwrap();
    let second = world.put_if(&world.unified(), "1.ics", event("u1", "C", ""), &when).await;
    assert!(matches!(second, Err(PutError::ConditionFailed)), "{second:?}");
    world.sync().await;
    assert_eq!(world.summaries_at("a", "work"), ["B"]);
    // A race upstream is never the client's 412: it is merged.
    let name = world.at("a").names("work").remove(0);
    world.at("a").put("work", &name, event("u1", "B", "LOCATION:There\r\n"));
    let stored = world.shown(&world.unified()).await;
    assert_eq!(value_of(&stored["1.ics"], "SUMMARY").as_deref(), Some("B"));
    let put = world.put(&world.unified(), "1.ics", event("u1", "D", "")).await.unwrap();
    world.idle().await;
    assert_eq!(world.verdict(&put.pending).await, Some(Verdict::Accepted));
    world.sync().await;
    let there = world.at("a").octets("work", &name).unwrap();
    assert_eq!((value_of(&there, "SUMMARY"), value_of(&there, "LOCATION")), (Some("D".into()), Some("There".into())));
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn rename_calendar_upstream() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").calendars.get_mut("work").unwrap().name = "Job".to_owned();
    world.pass(7 * HOUR).await;
    let sources = world.accounts().sources(&world.user).await.unwrap();
    assert_eq!((sources.len(), sources[0].name.as_str()), (1, "Job"));
    let shown = world.calendars().collection(&world.mirror("a", "work").await).await.unwrap().unwrap();
    assert_eq!(shown.display_name, "Job");
    assert_eq!(world.summaries(&world.unified()).await, ["A"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_calendar_that_disappears_is_frozen_and_comes_back() {
    let world = World::with_one(Manners::default()).await;
    let two = Upstream::new(Manners::default(), &["home"]).calendars;
    world.at("a").calendars.extend(two);
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.pass(7 * HOUR).await;
    let gone = world.at("a").calendars.remove("work").unwrap();
    world.pass(24 * HOUR).await;
    assert!(world.source("a", "work").await.missing);
    assert_eq!(world.summaries(&world.unified()).await, ["A"]);
    world.at("a").calendars.insert("work".to_owned(), gone);
    world.at("a").put("work", "2.ics", event("u2", "B", ""));
    world.pass(24 * HOUR).await;
    assert!(!world.source("a", "work").await.missing);
    assert_eq!(world.summaries(&world.unified()).await, ["A", "B"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn account_removed_while_sync_running() {
    for steps in (0..60).step_by(3) {
        let world = World::with_two(steps, Manners::default()).await;
        for n in 0..4 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("a{n}"), "A", ""));
            world.at("b").put("work", &format!("{n}.ics"), event(&format!("b{n}"), "B", ""));
        }
        world.store.dial().yields.store(true, std::sync::atomic::Ordering::SeqCst);
        world.put(&world.unified(), "x.ics", event("x", "X", "")).await.unwrap();
        world.engine().sync_now(&world.user, None, false).await.unwrap();
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        let account = world.account("a").await;
        world.engine().remove(&account).await.unwrap();
        world.pass(HOUR).await;
        world.sync().await;
        let left = world.accounts().sources(&world.user).await.unwrap();
        assert_eq!(left.len(), 1, "after {steps}");
        assert!(world.summaries(&world.unified()).await.iter().all(|summary| summary != "A"), "after {steps}");
        assert_eq!(world.at("a").names("work").iter().filter(|name| name.len() == 5).count(), 4);
        world.net.take_lines();
        world.pass(3 * HOUR).await;
        let lines = world.net.take_lines();
        assert!(lines.iter().all(|line| line.contains("b.example.org")), "after {steps}: {lines:#?}");
        let jobs = world.process().queue.list().await.unwrap();
        assert!(jobs.iter().all(|job| job.lane != account.as_str()), "after {steps}: {jobs:?}");
        world.assert_quiet(&["b"]).await;
        assert_eq!(leftovers(&world, account.as_str(), left[0].id.as_str()).await, 0, "after {steps}");
    }
}

/// Rows of sync's tables that belong to no source but `kept`.
async fn leftovers(world: &World, _account: &str, kept: &str) -> usize {
    use lineartime::store::tables;
    let (sender, mut pages) = tokio::sync::mpsc::channel(4);
    world.store.walk(sender).await.unwrap();
    let mut count = 0;
    while let Some(page) = pages.recv().await {
        for (key, _) in page {
            let tables =
                [tables::LINK, tables::LINK_OF, tables::CURSOR, tables::QUARANTINE, tables::HELD, tables::INTENT];
            let bytes = key.as_bytes();
            if tables.iter().any(|table| table.0 == bytes[0])
                && !bytes.windows(kept.len()).any(|part| part == kept.as_bytes())
            {
                count += 1;
            }
        }
    }
    count
}

#[tokio::test]
async fn a_refusal_in_time_undoes_the_change() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").refuses = Some("Forbidden word".to_owned());
    // A new event.
    let put = world.put(&world.unified(), "1.ics", event("u1", "Forbidden word", "")).await.unwrap();
    let verdict = world.verdict(&put.pending).await;
    assert!(matches!(verdict, Some(Verdict::Refused(_))), "{verdict:?}");
    assert!(world.summaries(&world.unified()).await.is_empty());
    // A change.
    world.put(&world.unified(), "2.ics", event("u2", "Fine", "")).await.unwrap();
    world.sync().await;
    let put = world.put(&world.unified(), "2.ics", event("u2", "Forbidden word", "")).await.unwrap();
    let verdict = world.verdict(&put.pending).await;
    assert!(matches!(verdict, Some(Verdict::Refused(_))), "{verdict:?}");
    assert_eq!(world.summaries(&world.unified()).await, ["Fine"]);
    let history = world.calendars().history(&world.user, "u2").await.unwrap();
    assert_eq!(history.len(), 3, "what was refused is in the history");
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_refusal_that_comes_late_is_a_conflict_and_keeps_the_version() {
    let world = World::with_one(Manners::default()).await;
    world.put(&world.unified(), "2.ics", event("u2", "Fine", "")).await.unwrap();
    world.sync().await;
    world.at("a").refuses = Some("Forbidden word".to_owned());
    world.put(&world.unified(), "1.ics", event("u1", "Forbidden word", "")).await.unwrap();
    world.put(&world.unified(), "2.ics", event("u2", "Forbidden word", "")).await.unwrap();
    world.sync().await;
    let conflicts = world.conflicts().await;
    assert_eq!(conflicts.len(), 2);
    assert!(conflicts.iter().all(|c| c.kind == ConflictKind::Refused && c.is_open()), "{conflicts:?}");
    assert_eq!(world.summaries(&world.unified()).await, ["Forbidden word", "Forbidden word"]);
    world.assert_quiet(&["a"]).await;
    assert_eq!(world.summaries(&world.unified()).await, ["Forbidden word", "Forbidden word"], "and stays");
    // A further edit is a new attempt.
    world.put(&world.unified(), "1.ics", event("u1", "Better", "")).await.unwrap();
    world.put(&world.unified(), "2.ics", event("u2", "Better", "")).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries_at("a", "work"), ["Better", "Better"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_refused_deletion_is_undone() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    // The right is lost before the list of calendars was read again.
    world.at("a").calendars.get_mut("work").unwrap().read_only = true;
    let deleted = world.delete(&world.unified(), "1.ics").await.unwrap();
    let verdict = world.verdict(&deleted.pending).await;
    assert!(matches!(verdict, Some(Verdict::Refused(_))), "{verdict:?}");
    assert_eq!(world.summaries(&world.unified()).await, ["A"]);
    world.pass(7 * HOUR).await;
    assert_eq!(world.summaries(&world.unified()).await, ["A"]);
    // By then it is known to be read-only, and clients are told at once.
    let again = world.delete(&world.unified(), "1.ics").await;
    assert!(matches!(again, Err(PutError::Refused(_))), "{again:?}");
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_mass_deletion_is_held_until_it_is_confirmed() {
    for sync in [true, false] {
        let world = World::with_one(Manners { sync, ..Manners::default() }).await;
        for n in 0..30 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
        }
        world.sync().await;
        for n in 0..20 {
            world.at("a").delete("work", &format!("{n}.ics"));
        }
        world.at("a").put("work", "new.ics", event("new", "New", ""));
        world.sync().await;
        world.pass(24 * HOUR).await;
        assert_eq!(world.summaries(&world.unified()).await.len(), 31, "held, and what is new goes on");
        let status = world.engine().status(None).await.unwrap();
        assert_eq!(status.accounts[0].state, Health::Degraded);
        let source = world.source("a", "work").await.id;
        assert!(world.engine().confirm_deletions(&source).await.unwrap());
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await.len(), 11, "sync {sync}");
        assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::Healthy);
        assert!(!world.engine().confirm_deletions(&source).await.unwrap());
        assert_eq!(world.calendars().trash(&world.user).await.unwrap().len(), 20);
        assert_eq!(world.take_writes("a"), Vec::<String>::new());
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn a_held_event_that_a_client_edits_is_created_again() {
    let world = a_dozen().await;
    for n in 0..12 {
        world.at("a").delete("work", &format!("{n}.ics"));
    }
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await.len(), 12);
    world.put(&world.unified(), "3.ics", event("u3", "Wanted", "")).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries_at("a", "work"), ["Wanted"]);
    let source = world.source("a", "work").await.id;
    world.engine().confirm_deletions(&source).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["Wanted"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_listing_that_a_second_one_contradicts_deletes_nothing() {
    let world = a_dozen().await;
    let empty = {
        let mut upstream = world.at("a").clone();
        for n in 0..12 {
            upstream.delete("work", &format!("{n}.ics"));
        }
        upstream.manners.sync = false;
        upstream.answer(&list_request()).body
    };
    world.at("a").manners.sync = false;
    world.at("a").forget_tokens("work");
    world.net.answer_lists_times(empty, 1);
    world.sync_full().await;
    assert_eq!(world.summaries(&world.unified()).await.len(), 12);
    let status = world.engine().status(None).await.unwrap();
    assert_eq!(status.accounts[0].state, Health::Healthy, "nothing is held: {status:?}");
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_poisonous_event_is_set_aside_and_the_others_go_on() {
    let long = format!("DESCRIPTION:{}\r\n", "x".repeat(11 << 20));
    let poison: [(&str, bytes::Bytes); 4] = [
        ("text", "this is no calendar".into()),
        ("half", event("p", "P", "").slice(..100)),
        ("empty", bytes::Bytes::new()),
        ("huge", event("p", "P", &long)),
    ];
    for (what, poison) in poison {
        for alone in [false, true] {
            let world = World::with_one(Manners::default()).await;
            world.at("a").put("work", "1.ics", event("u1", "A", ""));
            world.sync().await;
            world.at("a").put("work", "p.ics", poison.clone());
            if !alone {
                world.at("a").put("work", "2.ics", event("u2", "B", ""));
            }
            world.sync().await;
            world.pass(HOUR).await;
            world.at("a").put("work", "3.ics", event("u3", "C", ""));
            world.sync().await;
            let mut wanted = vec!["A", "B", "C"];
            wanted.retain(|summary| !alone || *summary != "B");
            assert_eq!(world.summaries(&world.unified()).await, wanted, "{what} alone {alone}");
            let status = world.engine().status(None).await.unwrap();
            assert_eq!(status.accounts[0].state, Health::Degraded, "{what}");
            assert!(status.accounts[0].reason.as_ref().unwrap().contains("can't be taken in"), "{what}: {status:?}");
            // Mended there, it comes in.
            world.at("a").put("work", "p.ics", event("p", "P", ""));
            world.sync().await;
            assert!(world.summaries(&world.unified()).await.contains(&"P".to_owned()), "{what}");
            assert_eq!(world.engine().status(None).await.unwrap().accounts[0].state, Health::Healthy, "{what}");
            assert_eq!(world.take_writes("a"), Vec::<String>::new());
            world.assert_quiet(&["a"]).await;
        }
    }
}

#[tokio::test]
async fn an_object_that_the_server_cannot_serve_holds_up_nothing() {
    for alone in [true, false] {
        let world = World::with_one(Manners::default()).await;
        world.at("a").unservable.insert("p.ics".to_owned());
        world.at("a").put("work", "p.ics", event("p", "P", ""));
        if !alone {
            world.at("a").put("work", "1.ics", event("u1", "A", ""));
        }
        world.sync().await;
        world.at("a").put("work", "2.ics", event("u2", "B", ""));
        world.sync().await;
        world.pass(2 * HOUR).await;
        let wanted = if alone { vec!["B"] } else { vec!["A", "B"] };
        assert_eq!(world.summaries(&world.unified()).await, wanted);
        world.at("a").unservable.clear();
        world.pass(2 * HOUR).await;
        assert!(world.summaries(&world.unified()).await.contains(&"P".to_owned()), "alone {alone}");
        world.assert_quiet(&["a"]).await;
    }
}

#[tokio::test]
async fn a_poisonous_race_upstream_holds_up_no_other_write() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").put("work", "1.ics", "no calendar");
    world.put(&world.unified(), "1.ics", event("u1", "Ours", "")).await.unwrap();
    world.put(&world.unified(), "2.ics", event("u2", "B", "")).await.unwrap();
    world.sync().await;
    assert!(world.at("a").find("work", "u2").is_some());
    world.net.take_lines();
    world.pass(HOUR).await;
    let lines = world.net.take_lines();
    assert!(lines.len() < 60, "no loop of requests: {}", lines.len());
    world.at("a").put("work", "1.ics", event("u1", "Theirs", ""));
    world.pass(24 * HOUR).await;
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["B", "Ours"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn one_uid_in_two_sources_is_one_event_and_edits_reach_both() {
    for rewrites in [false, true] {
        let world = World::with_two(1, Manners { rewrites, ..Manners::default() }).await;
        for account in ["a", "b"] {
            world.at(account).put("work", "1.ics", event("u1", "A", ""));
        }
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await, ["A"]);
        assert!(world.conflicts().await.is_empty());
        world.at("a").put("work", "1.ics", event("u1", "From a", ""));
        world.sync().await;
        world.sync().await;
        assert_eq!(world.summaries_at("b", "work"), ["From a"]);
        world.put(&world.unified(), "1.ics", event("u1", "From here", "X-KEPT:x\r\n")).await.unwrap();
        world.sync().await;
        assert_eq!(world.summaries_at("a", "work"), ["From here"]);
        assert_eq!(world.summaries_at("b", "work"), ["From here"]);
        world.assert_quiet(&["a", "b"]).await;
        assert_eq!(value_of(&world.shown(&world.unified()).await["1.ics"], "X-KEPT").as_deref(), Some("x"));
        // Deleted at one: it stays at the other.
        world.at("a").delete("work", "1.ics");
        world.sync().await;
        assert_eq!(world.summaries_at("b", "work"), ["From here"]);
        assert_eq!(world.summaries(&world.unified()).await, ["From here"]);
        world.delete(&world.unified(), "1.ics").await.unwrap();
        world.sync().await;
        assert!(world.summaries_at("b", "work").is_empty());
        world.assert_quiet(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn copies_that_differed_before_are_written_nowhere_until_somebody_edits() {
    let world = World::with_two(1, Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "In a", ""));
    world.at("b").put("work", "1.ics", event("u1", "In b", ""));
    world.sync().await;
    world.assert_quiet(&["a", "b"]).await;
    assert_eq!(
        (world.summaries_at("a", "work"), world.summaries_at("b", "work")),
        (vec!["In a".into()], vec!["In b".into()])
    );
    let conflicts = world.conflicts().await;
    assert_eq!((conflicts.len(), conflicts[0].kind), (1, ConflictKind::Twin));
    let shown = world.summaries(&world.unified()).await;
    assert!(shown == ["In a"] || shown == ["In b"], "{shown:?}");
    world.put(&world.unified(), "1.ics", event("u1", "Settled", "")).await.unwrap();
    world.sync().await;
    assert_eq!(
        (world.summaries_at("a", "work"), world.summaries_at("b", "work")),
        (vec!["Settled".into()], vec!["Settled".into()])
    );
    world.assert_quiet(&["a", "b"]).await;
}

#[tokio::test]
async fn a_read_only_calendar_is_never_written() {
    let world = World::new(1, [("a", Upstream::new(Manners::default(), &["work"]))]);
    let mut world = world;
    world.at("a").calendars.get_mut("work").unwrap().read_only = true;
    world.boot();
    world.connect("a").await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    let mirror = world.mirror("a", "work").await;
    assert_eq!(world.calendars().collection(&mirror).await.unwrap().unwrap().mirror, Mirror::ReadOnly);
    assert!(world.put(&mirror, "2.ics", event("u2", "B", "")).await.is_err());
    assert!(world.put(&world.unified(), "1.ics", event("u1", "B", "")).await.is_err());
    assert!(world.delete(&world.unified(), "1.ics").await.is_err());
    // New events go somewhere else.
    world.put(&world.unified(), "2.ics", event("u2", "B", "")).await.unwrap();
    world.net.take_lines();
    world.sync_full().await;
    let lines = world.net.take_lines();
    assert!(lines.iter().all(|line| !line.starts_with("PUT") && !line.starts_with("DELETE")), "{lines:?}");
    assert_eq!(world.summaries(&world.unified()).await, ["A", "B"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn a_restored_event_goes_upstream_again() {
    let world = World::with_one(Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A", ""));
    world.sync().await;
    world.at("a").delete("work", "1.ics");
    world.sync().await;
    let (event_id, row) = world.calendars().trash(&world.user).await.unwrap().remove(0);
    world.calendars().restore(&world.user, event_id, row.revision, &world.author()).await.unwrap();
    world.sync().await;
    assert_eq!(world.summaries(&world.unified()).await, ["A"]);
    assert_eq!(world.summaries_at("a", "work"), ["A"]);
    world.assert_quiet(&["a"]).await;
}

#[tokio::test]
async fn servers_that_cut_scramble_and_repeat_are_read_whole() {
    for (sync, page, multiget) in [(true, Some(3), 2), (true, None, 1), (false, None, 3)] {
        let manners = Manners { sync, page, multiget, scrambles: true, ..Manners::default() };
        let world = World::with_two(1, manners).await;
        for n in 0..14 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), &format!("E{n}"), ""));
        }
        world.sync().await;
        assert_eq!(world.summaries(&world.unified()).await.len(), 14);
        for n in 0..4 {
            world.at("a").delete("work", &format!("{n}.ics"));
        }
        for n in 4..9 {
            world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), "Edited", ""));
        }
        world.sync().await;
        let shown = world.summaries(&world.unified()).await;
        assert_eq!((shown.len(), shown.iter().filter(|s| *s == "Edited").count()), (10, 5));
        world.assert_quiet(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn every_store_commit_of_a_cycle_may_fail() {
    let mut n = 0;
    loop {
        let world = cycle(n).await;
        world.store.fail_after(n, n % 2 == 1);
        run_cycle(&world).await;
        let never = n > 20 && !world.store.has_failed();
        world.store.mend();
        world.pass(3 * HOUR).await;
        check_cycle(&world, &format!("commit {n}")).await;
        if never {
            break;
        }
        n += 1;
    }
    assert!(n > 20, "{n}");
}

#[tokio::test]
async fn every_call_of_a_cycle_may_fail() {
    let troubles = [
        Trouble::Refused,
        Trouble::AnswerLost,
        Trouble::CarriedOutBut500,
        Trouble::Truncated,
        Trouble::Html,
        Trouble::Empty,
        Trouble::Status(429, Some(30)),
        Trouble::Status(503, None),
    ];
    for trouble in troubles {
        let mut n = 0;
        loop {
            let world = cycle(n).await;
            let hit = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
            let counted = hit.clone();
            world
                .net
                .trouble(move |_| (counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == n).then_some(trouble));
            run_cycle(&world).await;
            let never = hit.load(std::sync::atomic::Ordering::SeqCst) <= n;
            world.net.heal();
            world.pass(3 * HOUR).await;
            check_cycle(&world, &format!("{trouble:?} at call {n}")).await;
            if never {
                break;
            }
            n += 1;
        }
        assert!(n > 5, "{n}");
    }
}

/// Two upstreams with three events, one of them in both.
async fn cycle(seed: u64) -> World {
    let world = World::with_two(seed, Manners::default()).await;
    world.at("a").put("work", "1.ics", event("u1", "A1", ""));
    world.at("b").put("work", "2.ics", event("u2", "B2", ""));
    for account in ["a", "b"] {
        world.at(account).put("work", "3.ics", event("u3", "AB3", ""));
    }
    world.sync().await;
    for account in ["a", "b"] {
        world.take_writes(account);
    }
    world
}

/// One of everything: created, changed, deleted, here and there.
async fn run_cycle(world: &World) {
    world.at("a").put("work", "1.ics", event("u1", "A1", "LOCATION:There\r\n"));
    world.at("b").put("work", "4.ics", event("u4", "B4", ""));
    world.at("b").delete("work", "2.ics");
    drop(world.put(&world.unified(), "1.ics", event("u1", "Ours", "")).await);
    drop(world.put(&world.unified(), "3.ics", event("u3", "Both", "")).await);
    drop(world.put(&world.unified(), "5.ics", event("u5", "New", "")).await);
    drop(world.engine().sync_now(&world.user, None, false).await);
    world.pass(Duration::from_secs(5)).await;
    drop(world.delete(&world.unified(), "4.ics").await);
    world.pass(Duration::from_secs(5)).await;
}

/// What was written is on both sides, whatever failed.
async fn check_cycle(world: &World, when: &str) {
    for account in ["a", "b"] {
        let mirror = world.mirror(account, "work").await;
        assert_eq!(world.summaries(&mirror).await, world.summaries_at(account, "work"), "{when}: {account}");
    }
    assert!(world.at("b").find("work", "u2").is_none(), "{when}");
    let one = world.at("a").find("work", "u1").unwrap().1;
    assert_eq!(value_of(&one, "LOCATION").as_deref(), Some("There"), "{when}");
    let dead = world.process().queue.dead().await.unwrap();
    assert!(dead.is_empty(), "{when}: {dead:?}");
    for account in world.engine().status(None).await.unwrap().accounts {
        assert_eq!(account.state, Health::Healthy, "{when}: {account:?}");
    }
    world.assert_quiet(&["a", "b"]).await;
}

/// Somebody moves an event to another calendar of the account, and somebody edits it here before that is known.
#[tokio::test]
async fn an_edit_follows_its_event_to_another_calendar() {
    for order in ["left first", "arrived first", "edited last", "changed there too"] {
        let mut world = World::new(1, [("a", Upstream::new(Manners::default(), &["work", "home"]))]);
        world.boot();
        world.at("a").put("work", "1.ics", event("u1", "A", ""));
        world.connect("a").await;
        let (work, home) = (world.source("a", "work").await, world.source("a", "home").await);
        let edit = async || {
            let edited = event("u1", "A", "DESCRIPTION:edited here\r\n");
            world.put(&world.unified(), "1.ics", edited).await.unwrap();
        };
        let hide = |path: &'static str| {
            world.net.trouble(move |request| request.uri().path().contains(path).then_some(Trouble::Refused));
        };
        let there = if order == "changed there too" { "LOCATION:there\r\n" } else { "" };
        world.at("a").delete("work", "1.ics");
        world.at("a").put("home", "moved.ics", event("u1", "A", there));
        match order {
            "arrived first" => {
                // Nothing of the calendar that it left is heard.
                hide("/work/");
                edit().await;
                world.sync().await;
            }
            "edited last" => {
                hide("/work/");
                world.sync().await;
                edit().await;
                world.sync().await;
            }
            _ => edit().await,
        }
        world.net.heal();
        world.pass(3 * HOUR).await;
        assert_eq!(world.at("a").items("work"), [], "{order}: it was made anew");
        let items = world.at("a").items("home");
        assert_eq!(items.len(), 1, "{order}");
        let text = String::from_utf8(items[0].1.to_vec()).unwrap();
        assert!(text.contains("edited here"), "{order}: {text}");
        assert!(text.contains(there.trim_end()), "{order}: {text}");
        let shown = world.shown(&world.unified()).await;
        assert_eq!(shown.len(), 1, "{order}");
        assert!(shown.values().all(|octets| String::from_utf8_lossy(octets).contains("edited here")), "{order}");
        let of = async |source: &lineartime::account::Source| {
            let id = lineartime::id::CollectionId::new(&world.user, source.collection.clone());
            world.shown(&id).await.len()
        };
        assert_eq!((of(&work).await, of(&home).await), (0, 1), "{order}");
        world.check().await;
        world.assert_quiet(&["a"]).await;
    }
}

/// Within an account the server moves what is moved here: nobody hears of an event that is called off and of another one.
#[tokio::test]
async fn a_move_within_an_account_is_one() {
    use lineartime::calendar::Overwrite;
    use lineartime::id::Place;
    let losses = [Trouble::AnswerLost, Trouble::CarriedOutBut500, Trouble::Refused, Trouble::Status(503, None)];
    for (moves, trouble, edited) in [true, false]
        .into_iter()
        .flat_map(|moves| std::iter::once(None).chain(losses.map(Some)).map(move |trouble| (moves, trouble)))
        .flat_map(|(moves, trouble)| [false, true].map(|edited| (moves, trouble, edited)))
    {
        let told = format!("moves {moves}, {trouble:?}, edited {edited}");
        let manners = Manners { moves, ..Manners::default() };
        let mut world = World::new(1, [("a", Upstream::new(manners, &["work", "home"]))]);
        world.boot();
        world.at("a").put("work", "1.ics", event("u1", "A", ""));
        world.connect("a").await;
        world.take_writes("a");
        let (work, home) = (world.mirror("a", "work").await, world.mirror("a", "home").await);
        let mut left = 1;
        world.net.trouble(move |request| {
            let hit = request.method() == "MOVE" && left > 0;
            left -= i32::from(hit);
            trouble.filter(|_| hit)
        });
        let place = |collection: &_| Place { collection: Clone::clone(collection), name: "1.ics".parse().unwrap() };
        let calendars = world.calendars();
        let (from, to) = (place(&work), place(&home));
        calendars.move_to(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &world.author()).await.unwrap();
        if edited {
            world.put(&home, "1.ics", event("u1", "B", "")).await.unwrap();
        }
        world.pass(3 * HOUR).await;
        let title = if edited { "B" } else { "A" };
        assert_eq!(world.summaries_at("a", "work"), Vec::<String>::new(), "{told}");
        assert_eq!(world.summaries_at("a", "home"), [title], "{told}");
        assert_eq!(world.summaries(&world.unified()).await, [title], "{told}");
        let writes = world.take_writes("a");
        let of = |method: &str| writes.iter().filter(|line| line.starts_with(method)).count();
        if moves {
            assert_eq!((of("MOVE"), of("DELETE"), of("PUT")), (1, 0, usize::from(edited)), "{told}: {writes:?}");
        } else {
            assert_eq!((of("MOVE"), of("DELETE")), (0, 1), "{told}: {writes:?}");
        }
        assert!(world.conflicts().await.is_empty(), "{told}");
        world.check().await;
        world.assert_quiet(&["a"]).await;
    }
}
