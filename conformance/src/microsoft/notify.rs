//! How Graph calls: the handshake before a subscription, notifications after a change, lifecycle notifications; and, on
//! demand, what it would never send.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::subscription::{self, Subscription};
use super::{Simulator, State};

/// How its calls were answered.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Answers {
    /// How often each status came; 0: none.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// The slowest, in milliseconds.
    pub(super) slowest_ms: u128,
}

impl Answers {
    fn add(&mut self, status: u16, took: u128) {
        *self.statuses.entry(status).or_default() += 1;
        self.slowest_ms = self.slowest_ms.max(took);
    }

    fn join(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
    }
}

impl Simulator {
    /// Tells the subscribers what has changed since `before`.
    pub(super) async fn tell_changes(&self, before: u64) {
        for (url, entries) in self.with(|state| state.changes(before)) {
            for some in entries.chunks(TOGETHER) {
                let body = json!({"value": some}).to_string();
                let mut answers = Answers::default();
                for pause in RETRIES {
                    wait(*pause).await;
                    let (status, took) = call(&url, &body).await;
                    answers.add(status, took);
                    if (200..300).contains(&status) {
                        break;
                    }
                }
                self.with(|state| state.answers.join(&answers));
            }
        }
    }

    /// Sends a change or a lifecycle event to every subscriber, `count` times and up to eight at once, and no second time.
    pub(super) async fn announce(&self, event: &str, count: u64) -> Answers {
        let calls = self.with(|state| state.announcement(event, count));
        let calls = calls.into_iter().flat_map(|call| std::iter::repeat_n(call, usize::try_from(count).unwrap_or(1)));
        let answers = all(calls.collect()).await;
        self.with(|state| state.answers.join(&answers));
        answers
    }

    /// Sends what only somebody else would: a wrong `clientState`, an unknown subscription, both beside a right entry (`mixed`),
    /// or any text as the body.
    pub(super) async fn forge(&self, what: &str, body: &str, count: u64) -> Answers {
        let open = self.with(|state| state.service.subscriptions.open(subscription::now()));
        let mut calls = Vec::new();
        for one in open {
            let right = one.notification("changeType", "updated", None);
            let with = |name: &str, value: &str| {
                let mut wrong = right.clone();
                if let Some(object) = wrong.as_object_mut() {
                    object.insert(name.to_owned(), json!(value));
                }
                wrong
            };
            let state = with("clientState", "guessed");
            let unknown = with("subscriptionId", "00000000-0000-0000-0000-000000000000");
            let text = match what {
                "state" => json!({"value": [state]}).to_string(),
                "subscription" => json!({"value": [unknown]}).to_string(),
                "mixed" => json!({"value": [state, right, unknown]}).to_string(),
                _ => body.to_owned(),
            };
            calls.push((one.text("notificationUrl").to_owned(), text));
        }
        let calls = calls.into_iter().flat_map(|call| std::iter::repeat_n(call, usize::try_from(count).unwrap_or(1)));
        all(calls.collect()).await
    }
}

impl State {
    /// The notifications of what has changed since `before`, by the address that they go to.
    fn changes(&mut self, before: u64) -> BTreeMap<String, Vec<Value>> {
        let mut calls: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let default = self.service.default_calendar();
        let changed = self.service.mailbox.items.iter().filter(|(_, item)| item.seq > before);
        let changed: Vec<_> = changed.map(|(id, item)| (id.clone(), item.clone())).collect();
        for one in self.service.subscriptions.open(subscription::now()).into_iter().filter(|one| !one.lapses) {
            let calendar = one.calendar(&default);
            for (id, item) in changed.iter().filter(|(_, item)| item.calendar == calendar) {
                let kind = subscription::kind(item);
                let is_wanted = one.text("changeType").split(',').any(|wanted| wanted.trim() == kind);
                if is_wanted && self.service.strikes("lose-notifications").is_none() {
                    let etag = super::service::etag(item);
                    let entry = one.notification("changeType", kind, Some((id, &etag)));
                    calls.entry(one.text("notificationUrl").to_owned()).or_default().push(entry);
                    self.notified += 1;
                }
            }
        }
        calls
    }

    /// Address and body of what every subscriber is told, and what that means for its subscription.
    fn announcement(&mut self, event: &str, count: u64) -> Vec<(String, String)> {
        let is_lifecycle = LIFECYCLE.contains(&event);
        let is_silent = |one: &Subscription| {
            if is_lifecycle { one.text("lifecycleNotificationUrl").is_empty() } else { one.lapses }
        };
        let mut calls = Vec::new();
        for one in self.service.subscriptions.open(subscription::now()).into_iter().filter(|one| !is_silent(one)) {
            let (member, address) = if is_lifecycle {
                ("lifecycleEvent", "lifecycleNotificationUrl")
            } else {
                ("changeType", "notificationUrl")
            };
            let body = json!({"value": [one.notification(member, event, None)]}).to_string();
            calls.push((one.text(address).to_owned(), body));
            match event {
                "subscriptionRemoved" => self.service.subscriptions.end(Some(one.text("id"))),
                "reauthorizationRequired" => self.service.subscriptions.lapse(one.text("id")),
                _ => {}
            }
            self.notified += count;
        }
        calls
    }
}

/// Graph posts a token to the address and wants it back as plain text, and nothing else, within ten seconds.
pub(super) async fn validates(url: &str, number: u64) -> bool {
    let separator = if url.contains('?') { '&' } else { '?' };
    let token =
        format!("Validation: Testing client application reachability for subscription Request-Id: {number:08x}+/=&");
    let encoded = utf8_percent_encode(&token, NON_ALPHANUMERIC).to_string().replace("%20", "+");
    let url = format!("{url}{separator}validationToken={encoded}");
    let answer = tokio::time::timeout(HANDSHAKE, post(&url, "text/plain; charset=utf-8", "")).await;
    let Ok(Ok(answer)) = answer else { return false };
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let is_plain = head.to_lowercase().lines().any(|line| line.starts_with("content-type: text/plain"));
    head.starts_with("HTTP/1.1 200") && is_plain && body == token
}

async fn all(calls: Vec<(String, String)>) -> Answers {
    let (mut answers, mut running) = (Answers::default(), JoinSet::new());
    for (url, body) in calls {
        if running.len() >= AT_ONCE
            && let Some(Ok((status, took))) = running.join_next().await
        {
            answers.add(status, took);
        }
        running.spawn(async move { call(&url, &body).await });
    }
    while let Some(ended) = running.join_next().await {
        let (status, took) = ended.unwrap_or_default();
        answers.add(status, took);
    }
    answers
}

/// The status of the answer, 0 without one, and how long it took.
#[expect(clippy::disallowed_methods, reason = "a simulator runs in real time")]
async fn call(url: &str, body: &str) -> (u16, u128) {
    let began = std::time::Instant::now();
    let answer = tokio::time::timeout(NOTIFICATION, post(url, "application/json", body)).await;
    let status = answer.ok().and_then(Result::ok).and_then(|answer| answer.split(' ').nth(1)?.parse().ok());
    (status.unwrap_or_default(), began.elapsed().as_millis())
}

#[expect(clippy::disallowed_methods, reason = "a simulator runs in real time")]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// A POST to an http address; the answer as it comes.
async fn post(url: &str, kind: &str, body: &str) -> Result<String> {
    let rest = url.strip_prefix("http://").context("only http addresses are called")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await?;
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The kinds of lifecycle notifications.
const LIFECYCLE: &[&str] = &["reauthorizationRequired", "subscriptionRemoved", "missed"];
const HANDSHAKE: Duration = Duration::from_secs(10);
const NOTIFICATION: Duration = Duration::from_secs(30);
/// Before each try to deliver; Graph goes on for hours.
const RETRIES: &[Duration] = &[
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Calls at once.
const AT_ONCE: usize = 8;
/// Notifications in one body.
const TOGETHER: usize = 50;
