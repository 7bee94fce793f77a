//! What the users of `libdav` (pimsync) do, in their order: `libdav-session URL USER PASSWORD`. Anything else than "ok" at the
//! end is a failure.

use std::collections::BTreeMap;
use std::error::Error;

use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use libdav::caldav::{
    CalendarComponent, CreateCalendar, FindCalendarHomeSet, FindCalendars, GetCalendarResources,
    GetSupportedComponents, GetUserAddressSet, ListCalendarResources, TimeRange,
};
use libdav::dav::{
    Delete, GetProperty, ListResources, PutResource, SetProperty, SyncCollection, WebDavClient, WebDavError,
};
use libdav::{CalDavClient, HttpClient, names};
use tower_http::auth::AddAuthorization;

const KIND: &str = "text/calendar; charset=utf-8";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, user, password] = &arguments[..] else { return Err("URL USER PASSWORD".into()) };
    let base: Uri = url.parse()?;
    let plain = Client::builder(TokioExecutor::new()).build_http::<String>();
    let webdav = WebDavClient::new(base, AddAuthorization::basic(plain, user, password));
    let client = CalDavClient::bootstrap_via_service_discovery(webdav).await?;

    let principal = client.find_current_user_principal().await?.ok_or("no principal")?;
    let addresses = client.request(GetUserAddressSet::new(&principal)).await?.addresses;
    assert!(addresses.iter().any(|one| one.starts_with("mailto:")), "{addresses:?}");
    let homes = client.request(FindCalendarHomeSet::new(principal.path())).await?.home_sets;
    assert_eq!(homes.len(), 1);
    let home = homes[0].path();
    let found = client.request(FindCalendars::new(home)).await?.calendars;
    let unified = found.iter().find(|one| one.href.ends_with("/unified/")).ok_or("no unified calendar")?;
    assert!(unified.supports_sync);

    let events = [CalendarComponent::VEvent];
    let path = format!("{home}libdav/");
    let create = CreateCalendar::new(&path).with_display_name("Größe").with_colour("#0082c9").with_order(3);
    assert!(client.request(create.with_components(&events)).await?.created);
    let components = client.request(GetSupportedComponents::new(&path)).await?.components;
    assert_eq!(components.iter().map(CalendarComponent::as_str).collect::<Vec<_>>(), ["VEVENT"]);
    let name = client.request(GetProperty::new(&path, &names::DISPLAY_NAME)).await?.value;
    assert_eq!(name.as_deref(), Some("Größe"));
    client.request(SetProperty::new(&path, &names::DISPLAY_NAME, Some("Anders"))).await?;

    objects(&client, &path).await?;
    client.request(Delete::new(&path).force()).await?;
    let left = client.request(FindCalendars::new(home)).await?.calendars;
    assert!(!left.iter().any(|one| one.href == path));
    println!("ok");
    Ok(())
}

/// Objects of a calendar: made, listed, synced, edited and deleted.
async fn objects<C: HttpClient>(client: &CalDavClient<C>, path: &str) -> Result<(), Box<dyn Error>> {
    let first = client.request(SyncCollection::new(path)).await?;
    assert!(first.changed.is_empty() && first.deleted.is_empty());
    let week = event("week", "Übung", "DTSTART:20261207T090000Z\r\nRRULE:FREQ=WEEKLY;COUNT=4");
    let texts = BTreeMap::from([
        (format!("{path}one.ics"), event("one", "Zahnärztin – 日本語 🎉", "DTSTART:20261201T100000Z\r\nDURATION:PT1H")),
        (format!("{path}day.ics"), event("day", "Feiertag", "DTSTART;VALUE=DATE:20261224")),
        (format!("{path}week.ics"), week.clone()),
    ]);
    for (href, text) in &texts {
        let put = client.request(PutResource::new(href).create(text.as_str(), KIND)).await?;
        assert!(put.etag.is_some());
        assert!(
            client.request(PutResource::new(href).create(text.as_str(), KIND)).await.is_err(),
            "it is there already"
        );
    }
    let listed = client.request(ListResources::new(path)).await?.resources;
    assert_eq!(listed.iter().filter(|one| !one.resource_type.is_collection).count(), 3);
    assert_eq!(client.request(ListCalendarResources::new(path)).await?.resources.len(), 3);
    let december = TimeRange::Between("20261221T000000Z".parse()?, "20261223T000000Z".parse()?);
    let ranged = ListCalendarResources::new(path).with_component_and_time_range(CalendarComponent::VEvent, december);
    let ranged: Vec<String> = client.request(ranged).await?.resources.into_iter().map(|one| one.href).collect();
    assert_eq!(ranged, [format!("{path}week.ics")]);

    let missing = format!("{path}missing.ics");
    let hrefs: Vec<&str> = texts.keys().map(String::as_str).chain([missing.as_str()]).collect();
    let fetched = client.request(GetCalendarResources::new(path).with_hrefs(&hrefs)).await?.resources;
    assert_eq!(fetched.len(), 4);
    let mut tags = BTreeMap::new();
    for one in fetched {
        match one.content {
            Ok(content) => {
                assert_eq!(content.data.trim_end(), texts[&one.href].trim_end());
                tags.insert(one.href, content.etag);
            }
            Err(status) => assert_eq!((one.href.as_str(), status), (missing.as_str(), StatusCode::NOT_FOUND)),
        }
    }
    changes(client, path, &week, &tags, &first.new_sync_token).await
}

/// An instance is edited and an object deleted, and both are told once, as is that a token is not known.
async fn changes<C: HttpClient>(
    client: &CalDavClient<C>,
    path: &str,
    week: &str,
    tags: &BTreeMap<String, String>,
    token: &str,
) -> Result<(), Box<dyn Error>> {
    let (series, day) = (format!("{path}week.ics"), format!("{path}day.ics"));
    let token = client.request(SyncCollection::new(path).with_sync_token(token)).await?.new_sync_token;
    let moved = "BEGIN:VEVENT\r\nUID:week\r\nDTSTAMP:20261101T000000Z\r\nRECURRENCE-ID:20261214T090000Z\r\n\
                 DTSTART:20261214T150000Z\r\nSUMMARY:Verlegt\r\nEND:VEVENT\r\nEND:VCALENDAR";
    let edited = week.replace("END:VCALENDAR", moved);
    client.request(PutResource::new(&series).update(edited.as_str(), KIND, tags[&series].as_str())).await?;
    let stale = client.request(PutResource::new(&series).update(week, KIND, tags[&series].as_str())).await;
    assert!(stale.is_err(), "the tag is an old one");
    client.request(Delete::new(&day).with_etag(tags[&day].as_str())).await?;
    let told = client.request(SyncCollection::new(path).with_sync_token(&token)).await?;
    assert_eq!(told.changed.iter().map(|one| one.href.as_str()).collect::<Vec<_>>(), [series.as_str()]);
    assert_eq!(told.deleted, [day]);
    let refused = client.request(SyncCollection::new(path).with_sync_token("urn:unknown")).await;
    // The library reads one precondition alone: DAV:valid-sync-token.
    assert!(matches!(refused, Err(WebDavError::PreconditionFailed(_))));
    Ok(())
}

fn event(uid: &str, summary: &str, when: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//libdav//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\n\
         {when}\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}
