//! Messages from providers, and the channels they come by: the real engine at a service that tells of changes.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;
use lineartime::clock::Clock as _;
use lineartime::sync::{Heard, Hooks, Said};
use lineartime::vault::Secret;
use lineartime::webhook;
use serde_json::{Value, json};

use crate::caldav::Server;
use crate::world::{Habits, Manners, Open, Service, Style, Trouble, Upstream, World, event, value_of};

const MOMENT: Duration = Duration::from_secs(3);
const HOUR: Duration = Duration::from_hours(1);

/// An account at a service that tells of changes, connected and read.
async fn told_by(style: Style) -> (World, Arc<Service>) {
    told_late(style, SignedDuration::ZERO).await
}

/// The same, and a change is in no listing for so long.
async fn told_late(style: Style, lag: SignedDuration) -> (World, Arc<Service>) {
    let mut world = World::new(3, [("a", Upstream::new(Manners::default(), &["work"]))]);
    let habits = Habits { style, page: 50, lag, expires: 0, follows_up: 0, repeats: 0 };
    let service = Arc::new(Service::new("a", habits, (world.net.clone(), world.clock.clone()), 5));
    world.services.insert("a".to_owned(), service.clone());
    world.config.hooks = Some(hooks("https://cal.example.org/"));
    world.config.poll_interval = Duration::from_hours(24);
    world.config.discover_interval = Duration::from_hours(24 * 30);
    world.boot();
    world.connect("a").await;
    world.pass(Duration::from_secs(10)).await;
    world.net.take_lines();
    (world, service)
}

fn hooks(public_url: &str) -> Hooks {
    Hooks { public_url: public_url.to_owned(), renew_before: Duration::from_hours(24) }
}

/// The channel of the one calendar.
fn channel(service: &Service) -> Open {
    service.channels().into_iter().find(|open| open.channel.id.starts_with("subscription")).unwrap()
}

fn entry(open: &Open) -> Value {
    json!({"subscriptionId": open.channel.id, "clientState": open.token, "changeType": "updated", "resource": "Users/x/Events/y"})
}

fn lifecycle(open: &Open, event: &str) -> Value {
    json!({"subscriptionId": open.channel.id, "clientState": open.token, "lifecycleEvent": event})
}

async fn tell(world: &World, entries: &[Value]) -> StatusCode {
    let service = webhook::Service::new(world.process().engine.clone());
    service.microsoft(json!({"value": entries}).to_string().as_bytes()).await.status()
}

fn readings(world: &World) -> usize {
    world.net.take_lines().iter().filter(|line| line.starts_with("a changes")).count()
}

async fn heard(world: &World, open: &Open, said: Said) -> Heard {
    world.engine().heard(&open.channel.id, &Secret::new(open.token.clone()), said).await.unwrap()
}

#[tokio::test]
async fn a_message_leads_to_a_reading_and_a_burst_to_one_more() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    assert_eq!(open.url, "https://cal.example.org/api/webhooks/caldav");
    service.put("1", event("u1", "News", ""));
    for _ in 0..20 {
        assert_eq!(tell(&world, &[entry(&open), entry(&open)]).await, 202);
    }
    world.pass(MOMENT).await;
    assert_eq!(world.summaries(&world.unified()).await, ["News"]);
    let count = readings(&world);
    assert!((1..=2).contains(&count), "{count}");
}

/// Graph tells of a change before its list of changes has it.
#[tokio::test]
async fn a_message_that_comes_too_early_leads_to_another_look() {
    let (world, service) = told_late(Style::Graph, SignedDuration::from_secs(3)).await;
    service.put("1", event("u1", "Late", ""));
    assert_eq!(tell(&world, &[entry(&channel(&service))]).await, 202);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(readings(&world), 1);
    world.pass(Duration::from_secs(6)).await;
    assert_eq!(world.summaries(&world.unified()).await, ["Late"]);
    // And then it is quiet until the next message or poll.
    world.net.take_lines();
    world.pass(HOUR).await;
    assert_eq!(readings(&world), 0);
}

/// W5: a service tells of our own write before the answer to it is here, or when that never comes.
#[tokio::test]
async fn a_notification_before_the_answer_to_our_own_write_is_no_conflict() {
    for trouble in [Trouble::AnswerLost, Trouble::CarriedOutBut500] {
        let (world, service) = told_by(Style::Graph).await;
        let open = channel(&service);
        for title in ["Ours", "Ours again"] {
            let mut left = 1;
            world.net.trouble(move |request| {
                let hit = ["/create", "/update"].iter().any(|end| request.uri().path().ends_with(end)) && left > 0;
                left -= i32::from(hit);
                hit.then_some(trouble)
            });
            world.put(&world.unified(), "1.ics", event("u1", title, "")).await.unwrap();
            world.idle().await;
            assert_eq!(tell(&world, &[entry(&open), entry(&open)]).await, 202);
            world.pass(HOUR).await;
            assert_eq!(world.summaries(&world.unified()).await, [title]);
            assert_eq!(service.items().len(), 1);
        }
        assert!(world.conflicts().await.is_empty(), "{:?}", world.conflicts().await);
        service.take_writes();
        world.pass(HOUR).await;
        assert_eq!(service.take_writes(), Vec::<String>::new());
    }
}

/// W3 and 93: what is wrong beside what is right does nothing, and is answered alike.
#[tokio::test]
async fn only_what_knows_the_token_counts() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    let with = |name: &str, value: Value| {
        let mut wrong = entry(&open);
        wrong[name] = value;
        wrong
    };
    let wrong = [
        with("clientState", json!("guessed")),
        with("clientState", json!(open.token[1..])),
        with("clientState", Value::Null),
        with("clientState", json!([open.token])),
        with("subscriptionId", json!("subscription-99")),
        with("subscriptionId", json!("x".repeat(10_000))),
        with("subscriptionId", Value::Null),
        with("lifecycleEvent", json!("somethingNew")),
        json!({}),
    ];
    for one in &wrong {
        assert_eq!(tell(&world, std::slice::from_ref(one)).await, 202, "{one}");
    }
    world.pass(MOMENT).await;
    assert_eq!(readings(&world), 0);
    assert_eq!(tell(&world, &[wrong.as_slice(), &[entry(&open)]].concat()).await, 202);
    world.pass(MOMENT).await;
    assert_eq!(readings(&world), 1);
}

/// W4 and 95.
#[tokio::test]
async fn ten_thousand_messages_in_ten_seconds_lead_to_few_readings_and_the_last_is_heard() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    for round in 0..100 {
        service.put("1", event("u1", &format!("State {round}"), ""));
        for _ in 0..100 {
            assert_eq!(heard(&world, &open, Said::Changed).await, Heard::News);
        }
        world.pass(Duration::from_millis(100)).await;
    }
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.summaries(&world.unified()).await, ["State 99"]);
    let count = readings(&world);
    assert!((1..=6).contains(&count), "{count}");
}

#[tokio::test]
async fn a_channel_that_lapses_is_renewed_at_once_and_stays_the_same() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    world.pass(HOUR).await;
    for _ in 0..3 {
        assert_eq!(tell(&world, &[lifecycle(&open, "reauthorizationRequired")]).await, 202);
    }
    world.pass(MOMENT).await;
    let renewals = world.net.take_lines().iter().filter(|line| line.starts_with("a renew")).count();
    assert_eq!(renewals, 1);
    let later = channel(&service);
    assert_eq!((&later.channel.id, &later.token), (&open.channel.id, &open.token));
    assert!(later.channel.expires > open.channel.expires);
    assert_eq!(heard(&world, &open, Said::Changed).await, Heard::News);
    assert_eq!(world.engine().status(None).await.unwrap().accounts[0].webhook_expires, Some(later.channel.expires));
}

/// 96.
#[tokio::test]
async fn a_channel_that_has_ended_is_opened_anew_and_what_was_missed_is_read() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    service.end(&open.channel.id);
    service.put("1", event("u1", "Missed", ""));
    assert_eq!(tell(&world, &[lifecycle(&open, "subscriptionRemoved")]).await, 202);
    assert_eq!(heard(&world, &open, Said::Changed).await, Heard::Unknown);
    world.pass(MOMENT).await;
    assert_eq!(world.summaries(&world.unified()).await, ["Missed"]);
    assert_ne!(channel(&service).channel.id, open.channel.id);
    service.put("2", event("u2", "Missed too", ""));
    assert_eq!(tell(&world, &[lifecycle(&channel(&service), "missed")]).await, 202);
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.summaries(&world.unified()).await, ["Missed", "Missed too"]);
}

/// 97: nobody told of the end; the renewal finds out.
#[tokio::test]
async fn a_renewal_that_finds_nothing_leads_to_a_new_channel_and_a_reading() {
    let (world, service) = told_by(Style::Graph).await;
    let open = channel(&service);
    service.end(&open.channel.id);
    world.pass_coarsely(Duration::from_hours(24 * 6 + 1), HOUR).await;
    assert_ne!(channel(&service).channel.id, open.channel.id);
    world.pass(MOMENT).await;
    let lines = world.net.take_lines();
    let renewed = lines.iter().position(|line| line.starts_with("a renew")).unwrap();
    assert!(lines[renewed..].iter().any(|line| line.starts_with("a changes")), "{lines:?}");
    assert_eq!(heard(&world, &open, Said::Changed).await, Heard::Unknown);
    assert_eq!(heard(&world, &channel(&service), Said::Changed).await, Heard::News);
}

/// W7: an outage at the time of the renewal ends nothing.
#[tokio::test]
async fn a_renewal_that_fails_leaves_the_channel_and_is_tried_again() {
    for style in [Style::Graph, Style::Google] {
        let (world, service) = told_by(style).await;
        let before = service.channels();
        world.pass_coarsely(Duration::from_hours(24 * 6 - 2), HOUR).await;
        world.net.trouble(|_| Some(Trouble::Status(503, None)));
        world.net.take_lines();
        world.pass_coarsely(Duration::from_hours(4), Duration::from_mins(5)).await;
        let lines = world.net.take_lines();
        assert!(lines.iter().any(|line| line.starts_with("a renew")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("a unwatch")), "{lines:?}");
        assert_eq!(service.channels().len(), before.len());
        world.net.heal();
        world.pass_coarsely(Duration::from_hours(3), Duration::from_mins(5)).await;
        let now = world.clock.now();
        assert_eq!(service.channels().len(), before.len());
        assert!(service.channels().iter().all(|open| open.channel.expires > now + SignedDuration::from_hours(24 * 6)));
    }
}

/// The process ends between the wish and the answer: what was noted of the channel is not taken for one that is open.
#[tokio::test]
async fn a_channel_whose_opening_was_cut_short_is_opened_at_the_next_start() {
    for style in [Style::Graph, Style::Google] {
        let (mut world, service) = told_by(style).await;
        for open in service.channels() {
            service.end(&open.channel.id);
        }
        // Everything is made anew: at another address.
        world.kill().await;
        world.config.hooks = Some(hooks("https://other.example.org"));
        world.net.trouble(|_| Some(Trouble::Slow(60)));
        world.boot();
        world.pass(Duration::from_secs(20)).await;
        world.kill().await;
        assert_eq!(service.channels().len(), 0, "it did not get so far");
        world.net.heal();
        world.boot();
        world.pass(Duration::from_secs(20)).await;
        let urls: Vec<String> = service.channels().into_iter().map(|open| open.url).collect();
        assert!(!urls.is_empty() && urls.iter().all(|url| url.starts_with("https://other.example.org/")), "{urls:?}");
        let open = service.channels().pop().unwrap();
        assert_eq!(heard(&world, &open, Said::Changed).await, Heard::News);
    }
}

#[tokio::test]
async fn channels_end_with_the_account_and_nothing_is_opened_where_nobody_may_call() {
    let (world, service) = told_by(Style::Graph).await;
    let account = world.account("a").await;
    world.engine().pause(&account).await.unwrap();
    assert!(service.channels().is_empty());
    world.engine().resume(&account).await.unwrap();
    world.pass(MOMENT).await;
    assert_eq!(service.channels().len(), 1);
    world.engine().remove(&account).await.unwrap();
    assert!(service.channels().is_empty());

    let (mut world, service) = told_by(Style::Graph).await;
    world.kill().await;
    world.config.hooks = None;
    world.boot();
    world.net.take_lines();
    world.pass(HOUR).await;
    assert!(!world.net.take_lines().iter().any(|line| line.starts_with("a watch") || line.starts_with("a renew")));
    assert_eq!(world.engine().status(None).await.unwrap().accounts[0].webhook_expires, None);
    drop(service);
}

/// 20: the service gives a calendar another id.
#[tokio::test]
async fn a_calendar_under_another_id_goes_on_if_what_is_in_it_says_that_it_is_the_same() {
    for is_same in [true, false] {
        let (world, service) = told_by(Style::Graph).await;
        for n in 0..4 {
            service.put(&n.to_string(), event(&format!("u{n}"), &format!("E{n}"), ""));
        }
        world.sync().await;
        let (open, before) = (channel(&service), world.accounts().sources(&world.user).await.unwrap());
        if !is_same {
            for n in 0..4 {
                service.delete(&n.to_string());
                service.put(&format!("new-{n}"), event(&format!("n{n}"), &format!("N{n}"), ""));
            }
        }
        service.rename("/home/other/");
        rename_in_list(&world);
        world.sync().await;
        let after = world.accounts().sources(&world.user).await.unwrap();
        let shown = world.summaries(&world.unified()).await;
        assert_eq!(service.take_writes(), Vec::<String>::new());
        if is_same {
            assert_eq!(shown, ["E0", "E1", "E2", "E3"]);
            assert_eq!(after.len(), before.len());
            let (old, new) = (before.last().unwrap(), after.last().unwrap());
            assert_eq!((&old.id, new.remote.as_str(), new.missing), (&new.id, "/home/other/", false));
            assert_ne!(channel(&service).channel.id, open.channel.id);
            // And it is read and written as before.
            service.put("4", event("u4", "E4", ""));
            world.delete(&world.unified(), &name_of(&world, "E0").await).await.unwrap();
            world.sync().await;
            assert_eq!(world.summaries(&world.unified()).await, ["E1", "E2", "E3", "E4"]);
            assert_eq!(service.take_writes(), ["delete 0"]);
        } else {
            assert_eq!(shown, ["E0", "E1", "E2", "E3", "N0", "N1", "N2", "N3"]);
            assert_eq!(after.len(), before.len() + 1);
        }
    }
}

/// The list of calendars comes from the server by which the account was connected.
fn rename_in_list(world: &World) {
    let mut server = world.at("a");
    let calendar = server.calendars.remove("work").unwrap();
    server.calendars.insert("other".to_owned(), calendar);
}

async fn name_of(world: &World, summary: &str) -> String {
    let shown = world.shown(&world.unified()).await;
    shown.into_iter().find(|(_, octets)| value_of(octets, "SUMMARY").as_deref() == Some(summary)).unwrap().0
}

#[tokio::test]
async fn the_address_takes_what_graph_sends_and_nothing_else() {
    let server = Server::start().await;
    let hook = "/api/webhooks/microsoft";
    let echo = server.raw("POST", &format!("{hook}?validationToken=%3Cb%3E+x"), &[], "").await;
    assert_eq!((echo.status.as_u16(), echo.body.as_str()), (200, "<b> x"));
    assert_eq!(echo.headers["content-type"], "text/plain");
    assert_eq!(echo.headers["x-content-type-options"], "nosniff");
    let large = format!("{{\"value\": [], \"x\": \"{}\"}}", "x".repeat(webhook::LARGEST));
    let deep = "[".repeat(100_000);
    let cases = [
        ("POST", "?token=x", "{}", 400),
        ("POST", "?validationToken=", "", 400),
        ("POST", "", "", 400),
        ("POST", "", "{\"value\": {}}", 400),
        ("POST", "", deep.as_str(), 400),
        ("POST", "", large.as_str(), 413),
        ("POST", "", "{\"value\": []}", 202),
        ("POST", "", "{\"value\": [{\"subscriptionId\": \"x\", \"clientState\": \"y\"}]}", 202),
        ("GET", "?validationToken=x", "", 405),
        ("PUT", "?validationToken=x", "", 405),
    ];
    for (method, query, body, expected) in cases {
        let answer = server.raw(method, &format!("{hook}{query}"), &[], body).await;
        assert_eq!(answer.status.as_u16(), expected, "{method} {query} {body:.40}");
    }
}
