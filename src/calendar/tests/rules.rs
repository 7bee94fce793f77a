//! Who may write what, and what a write does to places, tags and intents.

use super::*;

#[tokio::test]
async fn everybody_has_a_unified_and_a_local_calendar() {
    let house = House::new();
    for _ in 0..2 {
        let names: Vec<String> =
            house.calendars.collections(&house.user).await.unwrap().iter().map(|c| c.id.name.to_string()).collect();
        assert_eq!(names, ["local", "unified"]);
    }
    let unified = house.calendars.collection(&house.id("unified")).await.unwrap().unwrap();
    assert_eq!(unified.components, [ical::ComponentKind::Event]);
    assert_eq!(house.calendars.default_source(&house.user).await.unwrap(), None);
}

#[tokio::test]
async fn octets_are_served_as_they_were_put() {
    let house = House::new();
    let object = event("u1", "odd");
    let put = house.put("unified", "a.ics", object.clone()).await.unwrap();
    assert!(put.created && put.octets_as_sent && put.pending.is_empty());
    for collection in ["unified", "local"] {
        let stored = house.calendars.get(&house.at(collection, "a.ics")).await.unwrap().unwrap();
        assert_eq!(&stored.octets, object.octets());
        assert_eq!(stored.etag, put.etag);
    }
    house.check().await;
}

#[tokio::test]
async fn an_identical_put_changes_nothing() {
    let house = House::new();
    let source = house.attach("a", Mirror::TwoWay).await;
    let first = house.put("unified", "a.ics", event("u1", "x")).await.unwrap();
    house.forget_intents(&source).await;
    let before = house.calendars.ctag(&house.id("unified")).await.unwrap();
    let again = house.put("unified", "a.ics", event("u1", "x")).await.unwrap();
    assert_eq!((again.created, &again.etag, again.revision), (false, &first.etag, first.revision));
    assert!(again.pending.is_empty());
    assert_eq!(house.calendars.ctag(&house.id("unified")).await.unwrap(), before);
    assert!(house.wishes(&source).await.is_empty());
}

#[tokio::test]
async fn the_etag_changes_exactly_when_the_octets_do() {
    let house = House::new();
    let one = house.put("local", "a.ics", event("u1", "x")).await.unwrap().etag;
    let two = house.put("local", "a.ics", event("u1", "y")).await.unwrap().etag;
    let three = house.put("local", "a.ics", event("u1", "x")).await.unwrap().etag;
    assert_ne!(one, two);
    assert_eq!(one, three);
}

#[tokio::test]
async fn conditions_guard_a_write() {
    let house = House::new();
    let at = house.at("local", "a.ics");
    let put = async |object, conditions: &Conditions| house.calendars.put(&at, object, conditions, &house.client).await;
    let absent = Conditions::absent();
    let one = put(event("u1", "x"), &absent).await.unwrap();
    assert!(matches!(put(event("u1", "y"), &absent).await, Err(PutError::ConditionFailed)));
    let unchanged = Conditions::unchanged(one.etag);
    put(event("u1", "y"), &unchanged).await.unwrap();
    assert!(matches!(put(event("u1", "z"), &unchanged).await, Err(PutError::ConditionFailed)));
    let delete = house.calendars.delete(&at, &unchanged, &house.client).await;
    assert!(matches!(delete, Err(PutError::ConditionFailed)));
    house.delete("local", "a.ics").await.unwrap();
    assert!(matches!(house.delete("local", "a.ics").await, Err(PutError::NotFound)));
    let delete = house.calendars.delete(&at, &unchanged, &house.client).await;
    assert!(matches!(delete, Err(PutError::ConditionFailed)), "a stale client is told so, whatever became of it");
    house.check().await;
}

#[tokio::test]
async fn a_new_event_of_the_unified_calendar_goes_to_the_default_source() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    assert_eq!(house.calendars.default_source(&house.user).await.unwrap().as_ref(), Some(&a));
    let put = house.put("unified", "x.ics", event("u1", "x")).await.unwrap();
    assert_eq!(put.pending.len(), 1);
    assert_eq!(house.names("s-a").await, ["x.ics"]);
    assert_eq!(house.wishes(&a).await, [(put.event, Want::Live)]);
    house.calendars.set_default_source(&house.user, Some(&b)).await.unwrap();
    house.put("unified", "y.ics", event("u2", "y")).await.unwrap();
    assert_eq!(house.names("s-b").await, ["y.ics"]);
    house.calendars.set_default_source(&house.user, None).await.unwrap();
    house.put("unified", "z.ics", event("u3", "z")).await.unwrap();
    assert_eq!(house.names("local").await, ["z.ics"]);
    house.check().await;
}

#[tokio::test]
async fn a_taken_name_in_the_member_collection_is_replaced() {
    let house = House::new();
    let todo = component("VTODO", "t", "a task is in no unified calendar");
    house.put("local", "a.ics", todo).await.unwrap();
    let put = house.put("unified", "a.ics", event("u1", "x")).await.unwrap();
    assert_eq!(house.names("local").await.len(), 2);
    assert!(house.names("local").await.contains(&format!("{}.ics", put.event)));
    assert_eq!(house.names("unified").await, ["a.ics"]);
    house.check().await;
}

#[tokio::test]
async fn a_uid_is_unique_in_its_space() {
    let house = House::new();
    house.attach("a", Mirror::TwoWay).await;
    house.put("unified", "a.ics", event("u1", "x")).await.unwrap();
    let name = |text: &str| text.parse::<ResourceName>().unwrap();
    let taken = Refusal::UidTaken(name("a.ics"));
    assert_eq!(refusal(house.put("unified", "b.ics", event("u1", "x")).await), taken);
    assert_eq!(refusal(house.put("s-a", "b.ics", event("u1", "x")).await), taken);
    assert_eq!(refusal(house.put("unified", "a.ics", event("u2", "x")).await), Refusal::UidChanged);
    let task = component("VTODO", "u9", "x");
    house.put("local", "t.ics", task).await.unwrap();
    let hidden = refusal(house.put("unified", "b.ics", event("u9", "x")).await);
    assert_eq!(hidden, Refusal::UidTaken(name("t.ics")));
    house.check().await;
}

#[tokio::test]
async fn one_uid_in_two_collections_is_one_event_with_one_content() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    let one = house.put("s-a", "x.ics", event("u1", "old")).await.unwrap();
    house.forget_intents(&a).await;
    let two = house.put("s-b", "y.ics", event("u1", "new")).await.unwrap();
    assert_eq!(one.event, two.event);
    assert!(two.created);
    assert_eq!(house.names("unified").await, ["x.ics"]);
    for (collection, name) in [("unified", "x.ics"), ("s-a", "x.ics"), ("s-b", "y.ics")] {
        assert_eq!(house.etag(collection, name).await, Some(two.etag.0.clone()));
    }
    assert_eq!(house.wishes(&a).await, [(one.event, Want::Live)], "the other copy follows");
    assert_eq!(house.wishes(&b).await, [(one.event, Want::Live)]);
    house.check().await;
}

#[tokio::test]
async fn deleting_a_member_leaves_the_others() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    let put = house.put("s-a", "x.ics", event("u1", "x")).await.unwrap();
    house.put("s-b", "x.ics", event("u1", "x")).await.unwrap();
    house.forget_intents(&a).await;
    house.forget_intents(&b).await;
    house.delete("s-a", "x.ics").await.unwrap();
    assert_eq!(house.names("unified").await, ["x.ics"]);
    assert_eq!(house.wishes(&a).await, [(put.event, Want::Gone)]);
    assert!(house.wishes(&b).await.is_empty(), "its copy is as it was");
    house.delete("s-b", "x.ics").await.unwrap();
    assert!(house.names("unified").await.is_empty());
    assert!(!house.calendars.event(&house.user, put.event).await.unwrap().unwrap().is_alive());
    house.check().await;
}

#[tokio::test]
async fn deleting_in_the_unified_calendar_deletes_everywhere() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    let put = house.put("s-a", "x.ics", event("u1", "x")).await.unwrap();
    house.put("s-b", "y.ics", event("u1", "x")).await.unwrap();
    house.delete("unified", "x.ics").await.unwrap();
    for collection in ["unified", "s-a", "s-b"] {
        assert!(house.names(collection).await.is_empty(), "{collection}");
    }
    for source in [&a, &b] {
        assert_eq!(house.wishes(source).await, [(put.event, Want::Gone)]);
    }
    house.check().await;
}

#[tokio::test]
async fn what_is_read_only_refuses_clients_and_says_so() {
    let house = House::new();
    let a = house.attach("a", Mirror::ReadOnly).await;
    house.apply(&a, vec![new_item("x.ics", event("u1", "x"))]).await.unwrap();
    assert_eq!(refusal(house.put("s-a", "x.ics", event("u1", "y")).await), Refusal::ReadOnly);
    assert_eq!(refusal(house.put("s-a", "n.ics", event("u2", "y")).await), Refusal::ReadOnly);
    assert_eq!(refusal(house.put("unified", "x.ics", event("u1", "y")).await), Refusal::ReadOnly);
    assert_eq!(refusal(house.delete("unified", "x.ics").await), Refusal::ReadOnly);
    assert_eq!(refusal(house.delete("s-a", "x.ics").await), Refusal::ReadOnly);
    let writable = async |collection: &str, name: &str| {
        let view = house.calendars.view(&house.id(collection)).await.unwrap();
        view.get(&name.parse().unwrap()).unwrap().writable
    };
    assert!(!writable("unified", "x.ics").await && !writable("s-a", "x.ics").await);
    let change = CollectionChange { mirror: Some(Mirror::TwoWay), ..CollectionChange::default() };
    house.calendars.update(&house.id("s-a"), change).await.unwrap();
    assert!(writable("unified", "x.ics").await && writable("s-a", "x.ics").await, "cached views see it");
    house.put("unified", "x.ics", event("u1", "y")).await.unwrap();
    house.check().await;
}

#[tokio::test]
async fn a_writable_copy_leads_but_deleting_needs_all() {
    let house = House::new();
    let a = house.attach("a", Mirror::ReadOnly).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    house.apply(&a, vec![new_item("x.ics", event("u1", "x"))]).await.unwrap();
    house.put("s-b", "x.ics", event("u1", "x")).await.unwrap();
    house.forget_intents(&b).await;
    let put = house.put("unified", "x.ics", event("u1", "y")).await.unwrap();
    assert_eq!(house.wishes(&b).await, [(put.event, Want::Live)]);
    assert!(house.wishes(&a).await.is_empty(), "a read-only source is never written (I21)");
    assert_eq!(refusal(house.delete("unified", "x.ics").await), Refusal::ReadOnly);
    house.delete("s-b", "x.ics").await.unwrap();
    let row = house.calendars.event(&house.user, put.event).await.unwrap().unwrap();
    assert_eq!(row.leader.as_str(), "s-a");
    house.check().await;
}

#[tokio::test]
async fn the_unified_calendar_holds_events_only() {
    let house = House::new();
    assert_eq!(refusal(house.put("unified", "t.ics", component("VTODO", "t", "x")).await), Refusal::WrongComponent);
    house.put("local", "t.ics", component("VTODO", "t", "x")).await.unwrap();
    assert!(house.names("unified").await.is_empty());
    house.put("local", "t.ics", event("t", "became an event")).await.unwrap();
    assert_eq!(house.names("unified").await, ["t.ics"]);
    house.put("local", "t.ics", component("VTODO", "t", "and a task again")).await.unwrap();
    assert!(house.names("unified").await.is_empty());
    house.check().await;
}

#[tokio::test]
async fn what_is_no_calendar_object_is_refused() {
    let house = House::new();
    let odd = |extra: &str| {
        let text = String::from_utf8(event("u", "x").octets().to_vec()).unwrap();
        Object::parse(Bytes::from(text.replace("PRODID", extra).into_bytes())).unwrap()
    };
    assert!(matches!(refusal(house.put("local", "a.ics", odd("METHOD:REQUEST\r\nPRODID")).await), Refusal::Invalid(_)));
    let small = Limits { object: ical::Limits { size: 100, ..ical::Limits::default() }, ..Limits::default() };
    assert_eq!(refusal(House::with(small).put("local", "a.ics", event("u", "x")).await), Refusal::TooLarge);
    assert_eq!(refusal(house.put("nowhere", "a.ics", event("u", "x")).await), Refusal::ParentMissing);
}

#[tokio::test]
async fn a_full_collection_takes_changes_but_no_more_objects() {
    let house = House::with(Limits { objects: 2, ..Limits::default() });
    house.put("local", "a.ics", event("a", "x")).await.unwrap();
    house.put("local", "b.ics", event("b", "x")).await.unwrap();
    assert_eq!(refusal(house.put("local", "c.ics", event("c", "x")).await), Refusal::Full);
    assert_eq!(refusal(house.put("unified", "c.ics", event("c", "x")).await), Refusal::Full);
    house.put("local", "a.ics", event("a", "y")).await.unwrap();
    house.delete("local", "b.ics").await.unwrap();
    house.put("local", "c.ics", event("c", "x")).await.unwrap();
    house.check().await;
}

#[tokio::test]
async fn clients_make_and_delete_calendars_that_stand_alone() {
    let house = House::new();
    house.calendars.create_local(&house.id("work"), NewCollection::default()).await.unwrap();
    let again = house.calendars.create_local(&house.id("work"), NewCollection::default()).await;
    assert_eq!(refusal(again), Refusal::Exists);
    for name in ["unified", "local", "inbox", "Outbox", "s-abc"] {
        let made = house.calendars.create_local(&house.id(name), NewCollection::default()).await;
        assert!(matches!(refusal(made), Refusal::Exists | Refusal::Reserved), "{name}");
    }
    house.put("work", "a.ics", event("u1", "x")).await.unwrap();
    house.put("unified", "a.ics", event("u1", "a UID of another space")).await.unwrap();
    assert_eq!(house.names("unified").await.len(), 1);
    let token = house.calendars.token(&house.id("work")).await.unwrap();
    house.calendars.delete_collection(&house.id("work")).await.unwrap();
    assert!(house.calendars.collection(&house.id("work")).await.unwrap().is_none());
    house.calendars.create_local(&house.id("work"), NewCollection::default()).await.unwrap();
    assert!(house.names("work").await.is_empty());
    let changes = house.calendars.changes(&house.id("work"), Some(&token), 10).await.unwrap();
    assert_eq!(changes.gone.len(), 1, "who knew the old calendar hears that it was emptied");
    house.put("work", "a.ics", event("u1", "x")).await.unwrap();
    house.check().await;
}

#[tokio::test]
async fn what_the_gateway_or_an_account_keeps_is_not_deleted_by_clients() {
    let house = House::new();
    house.attach("a", Mirror::TwoWay).await;
    for name in ["unified", "local", "s-a"] {
        assert_eq!(refusal(house.calendars.delete_collection(&house.id(name)).await), Refusal::Protected, "{name}");
    }
    assert!(matches!(house.calendars.delete_collection(&house.id("x")).await, Err(PutError::NotFound)));
}

#[tokio::test]
async fn detaching_takes_only_what_nobody_else_holds_and_tells_no_provider() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    house.put("s-a", "only.ics", event("u1", "x")).await.unwrap();
    house.put("s-a", "both.ics", event("u2", "x")).await.unwrap();
    house.put("s-b", "both.ics", event("u2", "x")).await.unwrap();
    house.forget_intents(&b).await;
    house.calendars.detach(&house.user, &a).await.unwrap();
    assert_eq!(house.names("unified").await, ["both.ics"]);
    assert!(house.wishes(&a).await.is_empty() && house.wishes(&b).await.is_empty());
    assert_eq!(house.calendars.default_source(&house.user).await.unwrap(), Some(b));
    house.check().await;
}

#[tokio::test]
async fn a_move_between_sources_creates_before_it_deletes() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    let put = house.put("s-a", "x.ics", event("u1", "x")).await.unwrap();
    house.forget_intents(&a).await;
    let (from, to) = (house.at("s-a", "x.ics"), house.at("s-b", "y.ics"));
    let moved =
        house.calendars.move_to(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &house.client).await.unwrap();
    assert_eq!((moved.event, moved.created), (put.event, true));
    assert_eq!((house.names("s-a").await.len(), house.names("s-b").await), (0, vec!["y.ics".to_owned()]));
    assert_eq!(house.names("unified").await, ["x.ics"], "its name there does not depend on where it lives");
    let gone = house.calendars.intent(&a, put.event).await.unwrap().unwrap();
    assert_eq!((gone.want, gone.after, gone.cause), (Want::Gone, Some(b.clone()), Cause::Move));
    assert_eq!(house.wishes(&b).await, [(put.event, Want::Live)]);
    house.check().await;
}

#[tokio::test]
async fn a_move_out_of_the_unified_calendar_gives_a_home_and_the_entry_comes_back() {
    let house = House::new();
    house.attach("a", Mirror::TwoWay).await;
    house.attach("b", Mirror::TwoWay).await;
    house.put("unified", "x.ics", event("u1", "x")).await.unwrap();
    let token = house.calendars.token(&house.id("unified")).await.unwrap();
    let (from, to) = (house.at("unified", "x.ics"), house.at("s-b", "x.ics"));
    house.calendars.move_to(&from, &to, Overwrite::Allowed, &Conditions::NONE, &house.client).await.unwrap();
    assert!(house.names("s-a").await.is_empty());
    assert_eq!(house.names("s-b").await, ["x.ics"]);
    let changes = house.calendars.changes(&house.id("unified"), Some(&token), 10).await.unwrap();
    assert_eq!(changes.changed.len(), 1);
    house.check().await;
}

#[tokio::test]
async fn moves_and_copies_across_spaces_are_other_events() {
    let house = House::new();
    house.calendars.create_local(&house.id("work"), NewCollection::default()).await.unwrap();
    let put = house.put("unified", "x.ics", event("u1", "x")).await.unwrap();
    let (from, to) = (house.at("unified", "x.ics"), house.at("work", "x.ics"));
    let copied =
        house.calendars.copy(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &house.client).await.unwrap();
    assert_ne!(copied.event, put.event);
    let again = house.calendars.copy(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &house.client).await;
    assert!(matches!(again, Err(PutError::ConditionFailed)));
    let other = house.at("work", "y.ics");
    let twice = house.calendars.copy(&from, &other, Overwrite::Forbidden, &Conditions::NONE, &house.client).await;
    assert_eq!(refusal(twice), Refusal::UidTaken("x.ics".parse().unwrap()));
    let moved =
        house.calendars.move_to(&from, &to, Overwrite::Allowed, &Conditions::NONE, &house.client).await.unwrap();
    assert!(!moved.created);
    assert!(house.names("unified").await.is_empty() && house.names("local").await.is_empty());
    house.check().await;
}

#[tokio::test]
async fn an_overwritten_destination_is_deleted() {
    let house = House::new();
    house.put("local", "a.ics", event("u1", "a")).await.unwrap();
    house.put("local", "b.ics", event("u2", "b")).await.unwrap();
    let (from, to) = (house.at("local", "a.ics"), house.at("local", "b.ics"));
    let copied = house.calendars.copy(&from, &to, Overwrite::Allowed, &Conditions::NONE, &house.client).await;
    assert_eq!(refusal(copied), Refusal::UidTaken("a.ics".parse().unwrap()));
    house.calendars.move_to(&from, &to, Overwrite::Allowed, &Conditions::NONE, &house.client).await.unwrap();
    assert_eq!(house.names("local").await, ["b.ics"]);
    let stored = house.calendars.get(&to).await.unwrap().unwrap();
    assert_eq!(&stored.octets, event("u1", "a").octets());
    assert_eq!(house.names("unified").await, ["a.ics"]);
    house.check().await;
}

#[tokio::test]
async fn a_deleted_uid_comes_back_as_the_same_event_where_it_was() {
    let house = House::new();
    house.attach("a", Mirror::TwoWay).await;
    let b = house.attach("b", Mirror::TwoWay).await;
    let put = house.put("s-b", "x.ics", event("u1", "x")).await.unwrap();
    house.delete("unified", "x.ics").await.unwrap();
    assert_eq!(house.calendars.trash(&house.user).await.unwrap().len(), 1);
    let back = house.put("unified", "z.ics", event("u1", "again")).await.unwrap();
    assert_eq!(back.event, put.event);
    assert_eq!(house.names("s-b").await, ["z.ics"]);
    assert_eq!(house.wishes(&b).await, [(put.event, Want::Live)], "one wish, whatever happened in between");
    assert_eq!(house.calendars.history(&house.user, "u1").await.unwrap().len(), 2);
    house.check().await;
}

#[tokio::test]
async fn history_keeps_everything_and_restoring_is_an_edit() {
    let house = House::new();
    let a = house.attach("a", Mirror::TwoWay).await;
    let put = house.put("unified", "x.ics", event("u1", "one")).await.unwrap();
    house.put("unified", "x.ics", event("u1", "two")).await.unwrap();
    house.delete("unified", "x.ics").await.unwrap();
    house.forget_intents(&a).await;
    let person = Author::Person(house.user.clone());
    house.calendars.restore(&house.user, put.event, 1, &person).await.unwrap();
    assert_eq!(
        (house.names("unified").await, house.names("s-a").await),
        (vec!["x.ics".to_owned()], vec!["x.ics".to_owned()])
    );
    assert_eq!(house.etag("unified", "x.ics").await, Some(put.etag.0));
    assert_eq!(house.wishes(&a).await, [(put.event, Want::Live)]);
    let history = house.calendars.history(&house.user, "u1").await.unwrap();
    assert_eq!(
        history.iter().map(|info| (info.revision, info.served)).collect::<Vec<_>>(),
        [(1, false), (2, false), (3, true)]
    );
    assert_eq!(history[2].author, person);
    house.check().await;
}

#[tokio::test]
async fn the_trash_is_emptied_by_age() {
    let house = House::new();
    house.put("local", "a.ics", event("u1", "x")).await.unwrap();
    house.delete("local", "a.ics").await.unwrap();
    let deleted = house.calendars.clock.now();
    house.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(house.calendars.purge(&house.user, deleted).await.unwrap(), 0);
    assert_eq!(house.calendars.purge(&house.user, house.calendars.clock.now()).await.unwrap(), 1);
    assert!(house.calendars.history(&house.user, "u1").await.unwrap().is_empty());
    house.put("local", "a.ics", event("u1", "anew")).await.unwrap();
    house.check().await;
}

#[tokio::test]
async fn what_a_provider_must_still_be_told_is_not_purged() {
    let house = House::new();
    let source = house.attach("a", Mirror::TwoWay).await;
    house.put("s-a", "a.ics", event("u1", "x")).await.unwrap();
    house.delete("s-a", "a.ics").await.unwrap();
    house.clock.advance(std::time::Duration::from_mins(1));
    let now = house.calendars.clock.now();
    assert_eq!(house.calendars.purge(&house.user, now).await.unwrap(), 0);
    house.forget_intents(&source).await;
    assert_eq!(house.calendars.purge(&house.user, now).await.unwrap(), 1);
    house.check().await;
}

/// A view that does not stay in the cache is built for every request.
#[tokio::test]
async fn a_large_view_is_kept() {
    let house = House::with(Limits { objects: 300, view_cache: 0, ..Limits::default() });
    let source = house.attach("a", Mirror::TwoWay).await;
    let items = (0..300).map(|n| new_item(&format!("{n}.ics"), event(&format!("u{n}"), "x"))).collect();
    house.apply(&source, items).await.unwrap();
    for collection in ["unified", "s-a"] {
        let id = house.id(collection);
        let view = house.calendars.view(&id).await.unwrap();
        assert_eq!(view.len(), 300);
        assert!(Arc::ptr_eq(&view, &house.calendars.view(&id).await.unwrap()), "{collection}");
    }
}

#[tokio::test]
async fn only_so_many_revisions_are_kept_and_never_without_the_served_one() {
    let house = House::with(Limits { revisions: 3, ..Limits::default() });
    let put = house.put("local", "a.ics", event("u1", "0")).await.unwrap();
    for n in 1..8 {
        house.put("local", "a.ics", event("u1", &n.to_string())).await.unwrap();
    }
    let kept: Vec<u64> =
        house.calendars.revisions(&house.user, put.event).await.unwrap().iter().map(|info| info.revision).collect();
    assert_eq!(kept, [6, 7, 8]);
    house.check().await;
}

#[tokio::test]
async fn dead_properties_are_set_all_or_none_and_go_with_the_resource() {
    let house = House::new();
    let owner = Owner::Object(house.at("local", "a.ics"));
    let set = |name: &str, size: usize| {
        PropertyEdit::Set(DeadProperty { ns: "x:".into(), name: name.into(), xml: Bytes::from(vec![b'x'; size]) })
    };
    assert!(matches!(house.calendars.set_properties(&owner, &[set("a", 1)]).await, Err(PutError::NotFound)));
    house.put("local", "a.ics", event("u1", "x")).await.unwrap();
    house.calendars.set_properties(&owner, &[set("a", 1), set("b", 1)]).await.unwrap();
    let too_large = house.calendars.set_properties(&owner, &[set("a", 2), set("c", 5_000)]).await;
    assert_eq!(refusal(too_large), Refusal::PropertiesTooLarge);
    let names = async |owner: &Owner| {
        let properties = house.calendars.properties(owner).await.unwrap();
        properties.into_iter().map(|p| (p.name, p.xml.len())).collect::<Vec<_>>()
    };
    assert_eq!(names(&owner).await, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let remove = PropertyEdit::Remove { ns: "x:".into(), name: "a".into() };
    house.calendars.set_properties(&owner, &[remove, set("b", 3)]).await.unwrap();
    assert_eq!(names(&owner).await, [("b".to_owned(), 3)]);
    let (from, to) = (house.at("local", "a.ics"), house.at("local", "b.ics"));
    house.calendars.move_to(&from, &to, Overwrite::Allowed, &Conditions::NONE, &house.client).await.unwrap();
    assert_eq!(names(&Owner::Object(to)).await, [("b".to_owned(), 3)]);
    assert!(names(&owner).await.is_empty());
    house.delete("local", "b.ics").await.unwrap();
    house.put("local", "b.ics", event("u2", "another")).await.unwrap();
    assert!(names(&Owner::Object(house.at("local", "b.ics"))).await.is_empty());
}

/// Different names never meet: no writer has to try again.
#[tokio::test]
async fn writers_of_different_names_do_not_disturb_each_other() {
    let house = House::new();
    house.attach("a", Mirror::TwoWay).await;
    let puts = (0..50).map(|n| {
        let house = &house;
        async move {
            let place = house.at("unified", &format!("{n}.ics"));
            house.calendars.try_once(&place, &event(&format!("u{n}"), "x"), &house.client).await
        }
    });
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    assert_eq!(house.names("unified").await.len(), 50);
    house.check().await;
}
