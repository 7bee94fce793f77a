//! A simulator of Microsoft Graph's calendars and of the sign-in before them, as strict as the published contract.
//!
//! It is written from the contract and shares nothing with the gateway but a table of zone names. It keeps what it was
//! told, does by itself what Exchange does (wraps bodies, forgets exceptions, mails whoever is invited), and fails on demand:
//! `POST /_control/fault {"name", "times", "value"}` by the names below.
//!
//! Faults: `throttle` `batch-throttle` (value: Retry-After), `no-batch`, `unavailable`, `mailbox-gone`, `login-page`, `claims`,
//! `no-calendars`, `lost-create`, `duplicate-400`, `duplicate-without-id`, `etag-moves`, `slow-action`, `empty-page`, `repeats`,
//! `says-removed` (value: id), `delta-expired`, `delta-expired-400`, `next-link-expired`, `renewal-fails`, `token-error`
//! (value: `error:number`), `scopes` (value: what is granted), `consent-denied`, `rotation-strict`.

mod contract;
mod identity;
mod mailbox;
mod series;
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use self::identity::Identity;
pub use self::mailbox::Mail;
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
}

impl Simulator {
    /// A simulator that listens at `listen`, `127.0.0.1:0` for any free port, and serves until the runtime ends.
    pub async fn start(listen: &str, owner: &str) -> Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening at {listen}"))?;
        let address = format!("http://{}", listener.local_addr()?);
        let service = Service::new(address.clone(), owner);
        let state = State { service, identity: Identity::new(), notified: 0 };
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
        if self.with(|state| state.service.mailbox.seq) != before {
            let simulator = self.clone();
            tokio::spawn(async move { simulator.notify("updated", 1).await });
        }
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
        if request.method == "POST" && request.path.ends_with("/subscriptions") {
            // The address is tried before the subscription is answered.
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            for name in ["notificationUrl", "lifecycleNotificationUrl"] {
                if let Some(url) = body.get(name).and_then(Value::as_str)
                    && !validates(url).await
                {
                    return Reply::error(400, "ValidationError", "Subscription validation request failed.");
                }
            }
        }
        self.with(|state| state.service.handle(request))
    }

    async fn control(&self, path: &str, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
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
            "calendar" => {
                let can_edit = body.get("canEdit").and_then(Value::as_bool).unwrap_or(true);
                let id = self.with(|state| state.service.mailbox.add_calendar(&text("name"), can_edit));
                return Reply::json(200, &json!({"id": id}));
            }
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
            "notify" => {
                let count = body.get("count").and_then(Value::as_u64).unwrap_or(1);
                let slowest = self.notify(&text("event"), count).await;
                return Reply::json(200, &json!({"slowest_ms": slowest}));
            }
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

    /// Tells all subscribers, `count` times; the slowest answer in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "a simulator runs in real time")]
    async fn notify(&self, event: &str, count: u64) -> u128 {
        let subscriptions: Vec<Value> = self.with(|state| {
            state.notified += count;
            state.service.subscriptions.values().cloned().collect()
        });
        let mut slowest = 0;
        for subscription in subscriptions {
            let of = |name: &str| subscription.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut value = json!({
                "subscriptionId": of("id"), "subscriptionExpirationDateTime": of("expirationDateTime"),
                "resource": of("resource"), "clientState": of("clientState"), "tenantId": "84bd8158-6d4d-4958-8b9f-9d6445542f95",
            });
            let is_lifecycle = ["reauthorizationRequired", "subscriptionRemoved", "missed"].contains(&event);
            let (name, url) = if is_lifecycle {
                ("lifecycleEvent", "lifecycleNotificationUrl")
            } else {
                ("changeType", "notificationUrl")
            };
            if let Some(object) = value.as_object_mut() {
                object.insert(name.to_owned(), json!(event));
            }
            if event == "subscriptionRemoved" {
                self.with(|state| state.service.subscriptions.remove(&of("id")));
            }
            let body = json!({"value": [value]}).to_string();
            for _ in 0..count {
                let began = std::time::Instant::now();
                // The gateway may be down; Graph would try again later.
                drop(post(&of(url), "application/json", &body).await);
                slowest = slowest.max(began.elapsed().as_millis());
            }
        }
        slowest
    }
}

impl State {
    fn told(&self) -> Value {
        json!({
            "refreshes": self.identity.refreshes, "refresh_tokens": self.identity.refresh,
            "subscriptions": self.service.subscriptions.values().collect::<Vec<_>>(), "notified": self.notified,
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

/// Graph posts a token to the address and wants it back as plain text.
async fn validates(url: &str) -> bool {
    let separator = if url.contains('?') { '&' } else { '?' };
    let token = "Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+EXAMPLE";
    let answer = post(&format!("{url}{separator}validationToken={token}"), "text/plain; charset=utf-8", "").await;
    let expected = "Validation: Testing client application reachability for subscription Request-Id: EXAMPLE";
    answer.is_ok_and(|answer| {
        let is_plain = answer.to_lowercase().contains("content-type: text/plain");
        answer.starts_with("HTTP/1.1 200")
            && is_plain
            && answer.split("\r\n\r\n").nth(1).is_some_and(|body| body.contains(expected))
    })
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

/// The settings of a gateway that has this simulator for Microsoft.
pub fn settings(simulator: &Simulator) -> BTreeMap<String, String> {
    let address = simulator.address();
    BTreeMap::from([
        ("LINEARTIME_PROVIDERS__MICROSOFT__CLIENT_ID".to_owned(), "simulated".to_owned()),
        ("LINEARTIME_PROVIDERS__MICROSOFT__AUTHORITY_URL".to_owned(), address.to_owned()),
        ("LINEARTIME_PROVIDERS__MICROSOFT__API_URL".to_owned(), format!("{address}/v1.0")),
    ])
}
