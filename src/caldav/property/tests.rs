//! The table's own laws.

use std::collections::HashSet;

use super::*;

#[test]
fn a_name_stands_once() {
    let mut seen = HashSet::new();
    for property in PROPERTIES {
        assert!(seen.insert(property.name.clone()), "{:?} stands twice", property.name);
        assert!(!property.rfc.is_empty());
    }
}

#[test]
fn caldav_properties_stay_out_of_allprop() {
    for property in PROPERTIES.iter().filter(|property| property.allprop) {
        assert_eq!(property.name.ns(), "DAV:", "{:?}", property.name);
    }
}

#[test]
fn only_traits_of_calendars_can_be_set() {
    for property in PROPERTIES.iter().filter(|property| property.set != Setting::Protected) {
        assert!(property.on.meets(On::CALENDAR), "{:?}", property.name);
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn an_answer_with_gaps_is_the_ordinary_one() {
    use crate::caldav::resource::{Facts, Subject};
    use crate::calendar::{Author, Calendars, Conditions, Limits};
    use crate::clock::ManualClock;
    use crate::dav::multistatus::{Detail, nested_response};
    use crate::dav::name::{apple, caldav, dav};
    use crate::dav::{Propfind, QName, Writer};
    use crate::entropy::SeededEntropy;
    use crate::ical::{DataRequest, Object};
    use crate::id::{CollectionId, CollectionName, Place, UserId};
    use crate::jobs::{Policy, Queue};
    use crate::store::MemoryStore;
    use std::sync::Arc;

    let (store, entropy) = (Arc::new(MemoryStore::new()), Arc::new(SeededEntropy::new(7)));
    let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
    let queue = Arc::new(Queue::new(store.clone(), clock.clone(), entropy.clone(), Policy::default()));
    let calendars = Calendars::new(store, queue, clock, entropy, Limits::default());
    let user = UserId::parse("ana@example.org").unwrap();
    let collection = CollectionId::new(&user, CollectionName::local());
    let author = Author::Client { user: user.clone(), device: None };
    let texts = [("VEVENT", "%01 Ü<&>]]>.ics", "Ü\u{fffd}<&>]]>"), ("VTODO", "b.ics", "a\tb\\nc")];
    for (index, (kind, name, words)) in texts.into_iter().enumerate() {
        let name = name.parse().unwrap();
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:{kind}\r\nUID:{index}\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260101T000000Z\r\nSUMMARY:{words}\r\nEND:{kind}\r\nEND:VCALENDAR\r\n"
        );
        let place = Place { collection: collection.clone(), name };
        calendars.put(&place, Object::parse(text.into()).unwrap(), &Conditions::NONE, &author).await.unwrap();
    }
    let row = Arc::new(calendars.collection(&collection).await.unwrap().unwrap());
    let view = calendars.view(&collection).await.unwrap();
    assert_eq!(view.len(), 2);
    let facts =
        Facts { user, addresses: Vec::new(), limits: crate::ical::Limits::default(), read_only: false, push: None };
    let common = [
        dav::GETETAG,
        caldav::CALENDAR_DATA,
        dav::RESOURCETYPE,
        dav::GETCONTENTTYPE,
        dav::DISPLAYNAME,
        dav::GETLASTMODIFIED,
        dav::GETCONTENTLENGTH,
        apple::GETCTAG,
    ];
    let plan = |names: &[QName]| Plan::new(Propfind::Prop(names.to_vec()), DataRequest::default());
    for length in 0..=common.len() {
        for start in 0..=common.len() - length {
            for detail in [Detail::Full, Detail::Minimal] {
                let plan = plan(&common[start..start + length]);
                let href = Path::Calendar(collection.clone()).href();
                let fragments = plan.fragments(&href, detail).unwrap();
                for entry in view.entries() {
                    let mut subject = Subject::object(&row, entry.clone());
                    let data = calendars.entry_octets(&collection, entry).await.unwrap();
                    subject.data = Some(data.clone());
                    let ordinary =
                        nested_response(&subject.href(), detail, |member| plan.tell(&facts, &subject, member));
                    let mut writer = Writer::new();
                    fragments.write(entry, Some(&data), &mut writer);
                    assert_eq!(writer.finish(), ordinary);
                }
            }
        }
    }
    let href = Path::Calendar(collection.clone()).href();
    for other in [dav::OWNER, dav::CREATIONDATE, QName::fixed("urn:x", "color")] {
        assert!(plan(&[dav::GETETAG, other]).fragments(&href, Detail::Full).is_none());
    }
}
