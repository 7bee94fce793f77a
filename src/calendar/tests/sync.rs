//! What sync and the readers lean on: apply, intents, conflicts, sync tokens, views.

use super::*;
use crate::ical::{Spans, TimeRange};

fn known(row: &EventRow, event: EventId, object: Object) -> Applied {
    let event = Some((event, row.generation));
    Applied::Upsert(Upsert { event, name_hint: None, object, follow: Follow::Others, clash: None })
}

impl House {
    async fn row(&self, event: EventId) -> EventRow {
        self.calendars.event(&self.user, event).await.unwrap().unwrap()
    }

    /// Applies one item that must be taken in.
    async fn take(&self, source: &SourceId, item: Applied) -> Written {
        self.apply(source, vec![item]).await.unwrap()[0].written().unwrap().clone()
    }
}

#[tokio::test]
async fn a_page_and_the_callers_rows_are_one_commit() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let key = crate::store::Key::new(crate::store::tables::LINK, &1_u64);
    let items = vec![new_item("x.ics", event("u1", "x")), new_item("x.ics", event("u2", "y"))];
    let outcomes = house
        .calendars
        .apply(&house.user, &a, items, |outcomes, batch| {
            assert_eq!(outcomes.len(), 2);
            batch.put(key.clone(), Bytes::from_static(b"cursor"));
        })
        .await
        .unwrap();
    let second = outcomes[1].written().unwrap();
    assert!(second.created);
    assert_eq!(house.names("s-a").await.len(), 2);
    assert!(house.names("unified").await.contains(&format!("{}.ics", second.event)), "the hint was taken");
    assert!(house.wishes(&a).await.is_empty(), "nobody is sent what he said");
    assert!(house.store.get(&key).await.unwrap().is_some());
    house.check().await;
}

#[tokio::test]
async fn a_page_decided_by_something_old_is_stale_as_a_whole() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let written = house.take(&a, new_item("x.ics", event("u1", "x"))).await;
    let old = house.row(written.event).await;
    house.delete("unified", "x.ics").await.unwrap();
    let items = vec![new_item("n.ics", event("u9", "n")), known(&old, written.event, event("u1", "theirs"))];
    assert!(matches!(house.apply(&a, items).await, Err(PutError::Stale)), "a deletion must be seen");
    assert!(house.names("s-a").await.is_empty());
    house.check().await;
}

#[tokio::test]
async fn the_same_event_from_a_second_source_becomes_a_member() {
    let house = House::new();
    let (a, b) = (house.attach("a", Mirror::TwoWay).await, house.attach("b", Mirror::TwoWay).await);
    let first = house.take(&a, new_item("x.ics", event("u1", "x"))).await;
    let second = house.take(&b, new_item("y.ics", event("u1", "x"))).await;
    assert_eq!((second.event, second.created), (first.event, false));
    assert_eq!(house.names("unified").await, ["x.ics"]);
    let other = house.apply(&b, vec![new_item("z.ics", event("u1", "again in the same source"))]).await.unwrap();
    assert_eq!(other, [Outcome::Refused(Refusal::UidTaken("y.ics".parse().unwrap()))]);
    let c = house.attach("c", Mirror::TwoWay).await;
    let differs = house.apply(&c, vec![new_item("z.ics", event("u1", "something else"))]).await;
    assert!(matches!(differs, Err(PutError::Stale)), "to merge is for the caller");
    house.check().await;
}

#[tokio::test]
async fn followers_follow_and_a_merge_goes_back() {
    let house = House::new();
    let (a, b) = (house.attach("a", Mirror::TwoWay).await, house.attach("b", Mirror::TwoWay).await);
    let written = house.take(&a, new_item("x.ics", event("u1", "x"))).await;
    house.take(&b, new_item("x.ics", event("u1", "x"))).await;
    house.take(&a, known(&house.row(written.event).await, written.event, event("u1", "y"))).await;
    assert!(house.wishes(&a).await.is_empty());
    let intent = house.calendars.intent(&b, written.event).await.unwrap().unwrap();
    assert_eq!((intent.want, intent.cause), (Want::Live, Cause::Follow));
    let row = house.row(written.event).await;
    let merged = Applied::Upsert(Upsert {
        event: Some((written.event, row.generation)),
        name_hint: None,
        object: event("u1", "merged"),
        follow: Follow::All,
        clash: None,
    });
    house.take(&a, merged).await;
    let intent = house.calendars.intent(&a, written.event).await.unwrap().unwrap();
    assert_eq!(intent.cause, Cause::Merge);
    house.check().await;
}

#[tokio::test]
async fn a_provider_that_removes_its_copy_removes_that_member() {
    let house = House::new();
    let (a, b) = (house.attach("a", Mirror::TwoWay).await, house.attach("b", Mirror::TwoWay).await);
    let written = house.take(&a, new_item("x.ics", event("u1", "x"))).await;
    house.take(&b, new_item("x.ics", event("u1", "x"))).await;
    for source in [&a, &b] {
        let event = (written.event, house.row(written.event).await.generation);
        house.take(source, Applied::Remove(Remove { event, clash: None })).await;
        house.check().await;
    }
    assert!(house.names("unified").await.is_empty());
    assert!(house.wishes(&a).await.is_empty() && house.wishes(&b).await.is_empty());
}

#[tokio::test]
async fn both_versions_of_a_conflict_are_kept() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let written = house.take(&a, new_item("x.ics", event("u1", "base"))).await;
    let put = house.put("unified", "x.ics", event("u1", "ours")).await.unwrap();
    let clash = Clash {
        id: None,
        kind: ConflictKind::Edit,
        base: Some(written.revision),
        ours: Version::Revision(put.revision),
        theirs: Version::Content(event("u1", "theirs")),
        properties: vec!["SUMMARY".into()],
        decision: Decision::Ours,
        rule: "the last write wins".into(),
    };
    let generation = house.row(put.event).await.generation;
    house.take(&a, Applied::Touch(Touch { event: (put.event, generation), clash: Some(clash) })).await;
    assert_eq!(house.etag("unified", "x.ics").await, Some(put.etag.0), "ours is served");
    let (id, conflict) = house.calendars.conflicts(&house.user).await.unwrap().remove(0);
    assert_eq!((conflict.base, conflict.ours, conflict.theirs), (Some(1), Some(2), Some(3)));
    let theirs = house.calendars.revision(&house.user, put.event, 3).await.unwrap().unwrap();
    assert_eq!(theirs.octets(), event("u1", "theirs").octets());
    house.calendars.resolve(&house.user, id, Keep::Remote, &Batch::new()).await.unwrap();
    assert_eq!(house.calendars.conflict(&house.user, id).await.unwrap().unwrap().decision, Decision::Theirs);
    let served = house.calendars.current(&house.user, put.event).await.unwrap().unwrap();
    assert_eq!(served.octets(), event("u1", "theirs").octets(), "theirs is served");
    house.put("unified", "x.ics", event("u1", "later")).await.unwrap();
    assert_eq!(house.row(put.event).await.revision, 5);
    house.check().await;
}

#[tokio::test]
async fn what_a_provider_refuses_is_taken_back_and_stays_in_the_history() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let revert = async |event: EventId, to: Before| {
        let seen = (event, house.row(event).await.generation);
        house.calendars.revert(&house.user, seen, to, &a, Batch::new()).await.unwrap();
        house.check().await;
    };
    let put = house.put("s-a", "x.ics", event("u1", "one")).await.unwrap();
    house.put("s-a", "x.ics", event("u1", "refused")).await.unwrap();
    revert(put.event, Before::Revision(1)).await;
    assert_eq!(house.etag("s-a", "x.ics").await, Some(put.etag.0.clone()));
    house.delete("unified", "x.ics").await.unwrap();
    revert(put.event, Before::Revision(1)).await;
    assert_eq!(house.etag("s-a", "x.ics").await, Some(put.etag.0));
    let new = house.put("s-a", "n.ics", event("u2", "refused at once")).await.unwrap();
    revert(new.event, Before::Absent).await;
    assert_eq!(house.names("unified").await, ["x.ics"]);
    assert_eq!(house.calendars.revisions(&house.user, new.event).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_older_push_never_clears_a_newer_intent() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let put = house.put("s-a", "x.ics", event("u1", "one")).await.unwrap();
    let pushed = house.calendars.intent(&a, put.event).await.unwrap().unwrap();
    assert_eq!(put.pending, [Pending { source: a.clone(), event: put.event, seq: pushed.seq }]);
    house.clock.advance(std::time::Duration::from_secs(5));
    house.put("s-a", "x.ics", event("u1", "two")).await.unwrap();
    let clear = async |intent: &Intent| {
        let mut batch = Batch::new();
        house.calendars.clear_intent_into(&mut batch, &a, put.event, intent);
        house.store.commit(batch).await
    };
    assert!(clear(&pushed).await.is_err());
    let newer = house.calendars.intent(&a, put.event).await.unwrap().unwrap();
    assert_eq!(newer.since, pushed.since, "it has been out of date since the first write");
    clear(&newer).await.unwrap();
    assert_eq!(house.calendars.counts(&house.user).await.unwrap().pending, [(a, 0)]);
}

#[tokio::test]
async fn a_write_wishes_for_a_push_in_the_accounts_lane() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    house.put("s-a", "x.ics", event("u1", "one")).await.unwrap();
    house.put("s-a", "y.ics", event("u2", "two")).await.unwrap();
    let leased = house.calendars.queue.lease("w").await.unwrap().unwrap();
    assert_eq!((leased.lane.as_str(), leased.key.as_str()), ("a-a", "push:s-a"));
    let job = PushJob::read(&leased.payload).unwrap();
    assert_eq!((job.user, job.source), (house.user.clone(), a));
    assert!(house.calendars.queue.lease("w").await.unwrap().is_none(), "two writes, one job");
}

#[tokio::test]
async fn tokens_that_are_not_of_this_collection_and_store_are_unknown() {
    let house = House::new();
    house.put("local", "a.ics", event("u1", "x")).await.unwrap();
    let token = house.calendars.token(&house.id("local")).await.unwrap();
    assert_eq!(token.to_string().parse::<SyncToken>().unwrap(), token);
    let unknown = async |house: &House, collection: &str, token: &SyncToken| {
        let changes = house.calendars.changes(&house.id(collection), Some(token), 10).await;
        matches!(changes, Err(ChangesError::UnknownToken))
    };
    assert!(!unknown(&house, "local", &token).await);
    assert!(unknown(&house, "unified", &token).await, "another collection");
    let restored = MemoryStore::with_epoch("another".into());
    let other = House { store: Arc::new(restored), ..House::new() };
    let entropy: Arc<SeededEntropy> = Arc::new(SeededEntropy::new(1));
    let queue = Queue::new(other.store.clone(), Arc::new(other.clock.clone()), entropy.clone(), Policy::default());
    let clock = Arc::new(other.clock.clone());
    let calendars = Calendars::new(other.store.clone(), Arc::new(queue), clock, entropy, Limits::default());
    let other = House { calendars, ..other };
    assert!(unknown(&other, "local", &token).await, "another epoch");
    let text = token.to_string();
    for bad in ["", "x", &text.replace("https", "http"), &format!("{text}0000000"), &format!("{text}-!")] {
        let parsed = bad.parse::<SyncToken>();
        let bad = match parsed {
            Ok(token) => unknown(&house, "local", &token).await,
            Err(_) => true,
        };
        assert!(bad);
    }
}

#[tokio::test]
async fn what_was_compacted_away_makes_old_tokens_unknown_and_no_others() {
    let house = House::new();
    let id = house.id("local");
    house.put("local", "a.ics", event("u1", "x")).await.unwrap();
    let old = house.calendars.token(&id).await.unwrap();
    house.put("local", "b.ics", event("u2", "x")).await.unwrap();
    house.clock.advance(std::time::Duration::from_mins(1));
    let then = house.calendars.clock.now();
    let young = house.calendars.token(&id).await.unwrap();
    house.put("local", "c.ics", event("u3", "x")).await.unwrap();
    assert_eq!(house.calendars.compact(&id, then).await.unwrap(), 2);
    let gone = house.calendars.changes(&id, Some(&old), 10).await;
    assert!(matches!(gone, Err(ChangesError::UnknownToken)));
    let changes = house.calendars.changes(&id, Some(&young), 10).await.unwrap();
    assert_eq!(changes.changed.len(), 1);
    house.clock.advance(std::time::Duration::from_mins(1));
    house.calendars.compact(&id, house.calendars.clock.now()).await.unwrap();
    assert!(matches!(house.calendars.changes(&id, Some(&young), 10).await, Err(ChangesError::UnknownToken)));
    let now = house.calendars.token(&id).await.unwrap();
    assert!(house.calendars.changes(&id, Some(&now), 10).await.unwrap().changed.is_empty());
    house.calendars.views.clear();
    assert_eq!(house.names("local").await.len(), 3);
    house.check().await;
}

#[tokio::test]
async fn one_change_costs_one_change() {
    let house = House::new();
    for n in 0..30 {
        house.put("local", &format!("{n}.ics"), event(&format!("u{n}"), "x")).await.unwrap();
    }
    let token = house.calendars.token(&house.id("unified")).await.unwrap();
    house.put("local", "7.ics", event("u7", "y")).await.unwrap();
    let changes = house.calendars.changes(&house.id("unified"), Some(&token), 100).await.unwrap();
    assert_eq!(changes.changed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["7.ics"]);
    assert!(!changes.truncated && changes.gone.is_empty());
}

#[tokio::test]
async fn a_page_that_is_cut_tells_what_its_names_are_now() {
    let house = House::new();
    let token = house.calendars.token(&house.id("unified")).await.unwrap();
    for (name, uid) in [("a.ics", "u1"), ("b.ics", "u2"), ("c.ics", "u3")] {
        house.put("local", name, event(uid, "x")).await.unwrap();
    }
    house.put("local", "b.ics", event("u2", "later")).await.unwrap();
    house.delete("local", "a.ics").await.unwrap();
    let page = house.calendars.changes(&house.id("unified"), Some(&token), 2).await.unwrap();
    assert!(page.truncated);
    assert_eq!(page.gone.iter().map(ResourceName::as_str).collect::<Vec<_>>(), ["a.ics"]);
    let now = house.calendars.get(&house.at("unified", "b.ics")).await.unwrap().unwrap();
    assert_eq!(page.changed.iter().map(|entry| entry.etag.clone()).collect::<Vec<_>>(), [now.etag]);
    let rest = house.calendars.changes(&house.id("unified"), Some(&page.token), 9).await.unwrap();
    assert_eq!(rest.changed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["b.ics", "c.ics"]);
    assert!(!rest.truncated);
}

fn entry_at(name: &str, spans: Vec<(i64, i64)>) -> Arc<Entry> {
    let row = record::EntryRow {
        event: EventId(1),
        revision: 1,
        etag: EtagOctets::of(&[]),
        length: 0,
        created: jiff::Timestamp::UNIX_EPOCH,
        modified: jiff::Timestamp::UNIX_EPOCH,
        kind: ical::ComponentKind::Event,
        spans: Spans { spans, recurring: false, alarms: false },
        leader: "local".parse().unwrap(),
    };
    Arc::new(Entry::new(name.parse().unwrap(), row, true))
}

proptest::proptest! {
    /// Too many, perhaps, but never too few; and what is taken out is out.
    #[test]
    fn the_time_index_names_all_that_overlaps(
        spans in proptest::collection::vec((-90_000_000_i64..90_000_000, 0_i64..9_000_000, 0_u8..20), 1..30),
        from in -99_000_000_i64..99_000_000,
        length in 0_i64..9_000_000,
        removed in 0_usize..30,
    ) {
        let entries: Vec<_> = spans.iter().enumerate().map(|(n, (start, length, odd))| {
            let end = if *odd == 0 { i64::MAX } else { start + length };
            entry_at(&format!("{n:03}"), vec![(*start, end)])
        }).collect();
        let mut index = TimeIndex::default();
        for entry in &entries {
            index.insert(entry);
        }
        let taken = removed % entries.len();
        index.remove(&entries[taken]);
        let at = |second: i64| jiff::Timestamp::from_second(second).unwrap();
        let range = TimeRange { start: at(from), end: at(from + length) };
        let found: Vec<String> = index.candidates(&range).iter().map(|entry| entry.name.to_string()).collect();
        for (n, entry) in entries.iter().enumerate() {
            let (start, end) = entry.spans.spans[0];
            let overlaps = start < from + length && end > from;
            let named = found.contains(&entry.name.to_string());
            proptest::prop_assert!(n == taken || !overlaps || named);
            proptest::prop_assert!(n != taken || !named);
        }
        proptest::prop_assert!(found.is_sorted());
    }
}
