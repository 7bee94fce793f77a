//! A simulator of Microsoft Graph's calendars and of the sign-in before them, as strict as the published contract.
//!
//! It is written from the contract and shares nothing with the gateway but a table of zone names. It keeps what it was
//! told, does by itself what Exchange does (wraps bodies, forgets exceptions, mails whoever is invited), and fails on demand:
//! `POST /_control/fault {"name", "times", "value"}` by the names below.
//!
//! Faults: `throttle` `batch-throttle` (value: Retry-After), `no-batch`, `unavailable`, `mailbox-gone`, `login-page`, `claims`,
//! `no-calendars`, `no-groups`, `groups-unavailable`, `no-uid-filter`, `lost-create`, `duplicate-400`, `duplicate-without-id`, `etag-moves`, `slow-action`, `empty-page`, `repeats`,
//! `says-removed` (value: id), `delta-lags`, `delta-expired`, `delta-expired-400`, `next-link-expired`, `token-error` (value: `error:number`),
//! `scopes` (value: what is granted), `consent-denied`, `rotation-strict`. Of subscriptions: `handshake-fails`, `subscription-seconds`
//! (value: how long they last), `renewal-fails` (404), `renewal-unavailable`, `lose-notifications`.
//! `change-ids` gives every event another id (`told`: the list of changes says that the old ones are gone), `zone-name` an event
//! another name of its zone, `calendar` makes one (in a `group`, of an `owner`).
//! `notify`, `forge` and `end-subscriptions` make Graph call, somebody else call, and subscriptions end without a word.

mod contract;
mod identity;
mod mailbox;
mod notify;
mod series;
mod service;
mod subscription;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::identity::Identity;
pub use self::mailbox::Mail;
use self::notify::{Answers, validates};
use self::service::{Reply, Request, Service, split_url};

/// The simulator: one mailbox and its sign-in.
#[derive(Clone, Debug)]
pub struct Simulator {
    state: Arc<Mutex<State>>,
    address: String,
}

#[derive(Debug)]
struct State {
    service: Service,
    identity: Identity,
    notified: u64,
    answers: Answers,
    handshakes: u64,
}

impl Simulator {
    /// A simulator that listens at `listen`, `127.0.0.1:0` for any free port, and serves until the runtime ends.
    pub async fn start(listen: &str, owner: &str) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening at {listen}"))?;
        let address = format!("http://{}", listener.local_addr()?);
        let service = Service::new(address.clone(), owner);
        let state =
            State { service, identity: Identity::new(), notified: 0, answers: Answers::default(), handshakes: 0 };
        let simulator = Self { state: Arc::new(Mutex::new(state)), address };
        tokio::spawn(simulator.clone().serve(listener));
        Ok(simulator)
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Adds an event as if its owner had made it in Outlook: `event` as Graph takes it.
    pub fn add(&self, event: &Value) -> Result<String> {
        let made = self.with(|state| {
            let calendar = state.service.mailbox.calendars.keys().next().cloned().unwrap_or_default();
            state.service.mailbox.create(&calendar, event, None)
        });
        made.map_err(|(status, code, why)| anyhow::anyhow!("{status} {code}: {why}"))
    }

    /// Makes an event, or changes the one with this `id`, as its owner would in Outlook; whoever subscribed is told.
    pub fn write(&self, id: Option<&str>, event: &Value) -> Result<String> {
        let before = self.with(|state| state.service.mailbox.seq);
        let written = match id {
            None => self.add(event)?,
            Some(id) => {
                let changed = self.with(|state| {
                    let mailbox = &mut state.service.mailbox;
                    mailbox.find(id).map(|target| mailbox.update(&target, event))
                });
                match changed.with_context(|| format!("no event {id}"))? {
                    Ok(()) => id.to_owned(),
                    Err((status, code, why)) => anyhow::bail!("{status} {code}: {why}"),
                }
            }
        };
        self.tell_soon(before);
        Ok(written)
    }

    /// Takes an event away, as its owner would in Outlook; whoever subscribed is told.
    pub fn remove(&self, id: &str) {
        let before = self.with(|state| {
            let mailbox = &mut state.service.mailbox;
            let before = mailbox.seq;
            if let Some(target) = mailbox.find(id) {
                mailbox.delete(&target);
            }
            before
        });
        self.tell_soon(before);
    }

    /// Tells subscribers of what changed after `before`, and does not wait for their answers.
    fn tell_soon(&self, before: u64) {
        if self.with(|state| state.service.mailbox.seq) != before {
            let simulator = self.clone();
            tokio::spawn(async move { simulator.tell_changes(before).await });
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let simulator = self.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let simulator = simulator.clone();
                    async move { simulator.answer(request).await }
                });
                let served =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                // Whoever hangs up early has what they came for.
                drop(served);
            });
        }
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let (path, query) = split_url(&parts.uri.to_string());
        let headers = parts.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
        let body = body.collect().await?.to_bytes().to_vec();
        let request = Request { method: parts.method.to_string(), path, query, headers, body };
        let before = self.with(|state| state.service.mailbox.seq);
        let reply = self.route(&request).await;
        self.tell_soon(before);
        let mut response = hyper::Response::builder().status(reply.status).header("content-type", reply.kind);
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Full::new(Bytes::from(reply.body)))?)
    }

    async fn route(&self, request: &Request) -> Reply {
        if let Some(rest) = request.path.strip_prefix("/_control/") {
            return self.control(rest, request).await;
        }
        if request.path.contains("/oauth2/v2.0/") {
            return self.with(|state| state.sign_in(request));
        }
        if let Err(reply) = self.with(|state| state.check_token(request)) {
            return reply;
        }
        if request.method == "POST"
            && request.path.ends_with("/subscriptions")
            && let Err(reply) = self.try_addresses(request).await
        {
            return reply;
        }
        self.with(|state| state.service.handle(request))
    }

    /// The addresses of a subscription are tried before it is made.
    async fn try_addresses(&self, request: &Request) -> std::result::Result<(), Reply> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let Some(refusal) = self.with(|state| state.service.subscription_defect(&body)) {
            return Err(refusal);
        }
        for name in ["notificationUrl", "lifecycleNotificationUrl"] {
            let Some(url) = body.get(name).and_then(Value::as_str) else { continue };
            let (number, is_refused) = self.with(|state| {
                state.handshakes += 1;
                (state.handshakes, state.service.strikes("handshake-fails").is_some())
            });
            if is_refused || !validates(url, number).await {
                let why = "Subscription validation request failed. Notification endpoint must respond with 200 OK.";
                return Err(Reply::error(400, "ValidationError", why));
            }
        }
        Ok(())
    }

    async fn control(&self, path: &str, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = body.get("count").and_then(Value::as_u64).unwrap_or(1);
        match path {
            "fault" => self.with(|state| {
                let times = body.get("times").and_then(Value::as_u64).unwrap_or(1);
                let value = body.get("value").cloned().unwrap_or_default();
                state.service.faults.insert(text("name"), (times, value));
            }),
            "mails" => return Reply::json(200, &self.with(|state| json!(state.service.mailbox.mails))),
            "requests" => {
                return Reply::json(200, &self.with(|state| json!(std::mem::take(&mut state.service.requests))));
            }
            "state" => return Reply::json(200, &self.with(|state| state.told())),
            "calendar" => return Reply::json(200, &json!({"id": self.with(|state| state.add_calendar(&body))})),
            "calendar-id" => {
                let renamed = self.with(|state| {
                    state.service.subscriptions.end(None);
                    state.service.mailbox.rename_calendar()
                });
                return Reply::json(200, &json!({"id": renamed.map(|(_, new)| new)}));
            }
            "change-ids" => self.with(|state| {
                let told = body.get("told").and_then(Value::as_bool).unwrap_or(true);
                state.service.mailbox.change_ids(told);
            }),
            "zone-name" => self.with(|state| state.name_zone(&text("id"), &text("name"))),
            "invite" => {
                let event = body.get("event").cloned().unwrap_or_default();
                let made = self.with(|state| {
                    let calendar = state.service.mailbox.calendars.keys().next().cloned().unwrap_or_default();
                    state.service.mailbox.create(&calendar, &event, Some(&text("organizer")))
                });
                return match made {
                    Ok(id) => Reply::json(200, &json!({"id": id})),
                    Err((status, code, why)) => Reply::error(status, code, &why),
                };
            }
            "events" => return self.many(&body),
            "revoke" => self.with(|state| {
                state.identity.refresh.clear();
                state.identity.access.clear();
            }),
            "expire" => self.with(|state| state.identity.access.clear()),
            "notify" => return Reply::json(200, &json!(self.announce(&text("event"), count).await)),
            "forge" => return Reply::json(200, &json!(self.forge(&text("what"), &text("body"), count).await)),
            "end-subscriptions" => self.with(|state| state.service.subscriptions.end(None)),
            _ => return Reply::error(404, "ResourceNotFound", path),
        }
        Reply::json(200, &json!({}))
    }

    /// Many events at once, `each` with its number in the subject.
    fn many(&self, body: &Value) -> Reply {
        let count = body.get("count").and_then(Value::as_u64).unwrap_or(1);
        for number in 0..count {
            let mut event = body.get("each").cloned().unwrap_or_default();
            if let Some(object) = event.as_object_mut() {
                object.insert("subject".to_owned(), json!(format!("event {number}")));
            }
            if let Err(error) = self.add(&event) {
                return Reply::error(400, "BadRequest", &error.to_string());
            }
        }
        Reply::json(200, &json!({"made": count}))
    }
}

impl State {
    /// Adds a calendar as `body` describes it: its id.
    fn add_calendar(&mut self, body: &Value) -> String {
        let can_edit = body.get("canEdit").and_then(Value::as_bool).unwrap_or(true);
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        let mailbox = &mut self.service.mailbox;
        let id = mailbox.add_calendar(name, can_edit);
        if let Some(group) = body.get("group").and_then(Value::as_str) {
            mailbox.groups.insert(id.clone(), group.to_owned());
        }
        if let (Some(owner), Some(calendar)) = (body.get("owner"), mailbox.calendars.get_mut(&id)) {
            calendar.insert("owner".to_owned(), owner.clone());
        }
        id
    }

    /// The times of an event are told in this zone from now on.
    fn name_zone(&mut self, id: &str, name: &str) {
        let mailbox = &mut self.service.mailbox;
        if let Some(item) = mailbox.items.get_mut(id) {
            item.zone_name = Some(name.to_owned());
        }
        mailbox.touch(id);
    }

    fn told(&self) -> Value {
        json!({
            "refreshes": self.identity.refreshes, "refresh_tokens": self.identity.refresh,
            "subscriptions": self.service.subscriptions.open(subscription::now()).into_iter().map(|one| one.body).collect::<Vec<_>>(),
            "faults": self.service.faults.iter().map(|(name, (left, _))| (name.clone(), *left)).collect::<BTreeMap<_, _>>(),
            "notified": self.notified, "answers": self.answers, "handshakes": self.handshakes,
            "calendars": self.service.mailbox.calendars.values().collect::<Vec<_>>(),
        })
    }

    fn check_token(&mut self, request: &Request) -> std::result::Result<(), Reply> {
        let given = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        // `person` is the owner of the mailbox in Outlook.
        if given.is_some_and(|token| token == "person" || self.identity.access.iter().any(|known| known == token)) {
            return Ok(());
        }
        let mut reply =
            Reply::error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.");
        let challenge =
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\"";
        reply.headers.push(("WWW-Authenticate".to_owned(), challenge.to_owned()));
        Err(reply)
    }

    fn sign_in(&mut self, request: &Request) -> Reply {
        let (_, form) = split_url(&format!("?{}", String::from_utf8_lossy(&request.body)));
        if request.path.ends_with("/authorize") {
            let denied = self.service.strikes("consent-denied").is_some();
            return self.identity.authorize(&request.query, denied);
        }
        if request.path.ends_with("/devicecode") {
            return self.identity.device_code(&self.service.base);
        }
        if let Some(value) = self.service.strikes("token-error") {
            return identity::switched(&value);
        }
        let all = "https://graph.microsoft.com/Calendars.ReadWrite https://graph.microsoft.com/Calendars.ReadWrite.Shared https://graph.microsoft.com/User.Read";
        let scopes = self.service.strikes("scopes").and_then(|value| value.as_str().map(ToOwned::to_owned));
        let reply = self.identity.token(&form, scopes.as_deref().unwrap_or(all));
        if self.service.faults.contains_key("rotation-strict") && reply.status == 200 {
            let used = form.get("refresh_token").cloned().unwrap_or_default();
            self.identity.refresh.retain(|known| *known != used);
        }
        reply
    }
}

/// The settings of a gateway that has this simulator for Microsoft.
pub fn settings(simulator: &Simulator) -> BTreeMap<String, String> {
    let address = simulator.address();
    BTreeMap::from([
        ("LINEARTIME_PROVIDERS__MICROSOFT__CLIENT_ID".to_owned(), "simulated".to_owned()),
        ("LINEARTIME_PROVIDERS__MICROSOFT__AUTHORITY_URL".to_owned(), address.to_owned()),
        ("LINEARTIME_PROVIDERS__MICROSOFT__API_URL".to_owned(), format!("{address}/v1.0")),
    ])
}
