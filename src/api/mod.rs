//! `/api/v1/`: JSON for the pages, for scripts and for calendar libraries.
//!
//! `GET /api/v1/events` answers what `FullCalendar` takes as it is. Failures are problem documents (RFC 9457). The document
//! at `/api/v1/openapi.json` says what is answered, and the tests hold the answers to it. A write goes through the one
//! write path and waits a moment for the provider, as a CalDAV client's does.
//! Whose request it is was settled before it came here; nobody sees what is another's.

mod calendars;
mod conflicts;
mod connections;
mod events;
mod feeds;
mod problem;
mod stream;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, VARY};
use http::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::account::Accounts;
use crate::calendar::{Author, Calendars};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::id::UserId;
use crate::identity::{Users, Via, Who};
use crate::jobs::Queue;
use crate::subscription::Subscriptions;
use crate::sync::Engine;

pub use problem::Problem;

/// What the API stands on.
#[derive(Debug)]
pub struct Parts {
    /// The events.
    pub calendars: Arc<Calendars>,
    /// The connected logins.
    pub accounts: Arc<Accounts>,
    /// Who talks to the providers.
    pub sync: Arc<Engine>,
    /// What is to be done.
    pub queue: Arc<Queue>,
    /// Who may sign in.
    pub users: Arc<Users>,
    /// Feeds.
    pub subscriptions: Arc<Subscriptions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a write waits for the provider.
    pub write_through: Duration,
    /// How the server is reached, without a slash at the end.
    pub public_url: String,
    /// The sites whose scripts may use it, as browsers write them in Origin.
    pub origins: Vec<String>,
}

/// Answers the API's requests.
#[derive(Debug)]
pub struct Api {
    parts: Parts,
    settings: Settings,
    streams: Arc<Semaphore>,
    /// Those of each person.
    listeners: Mutex<HashMap<UserId, Arc<Semaphore>>>,
    /// When the server stops, streams end.
    stopping: CancellationToken,
}

/// A request to the API.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The decoded path behind `/api/v1/`.
    pub path: &'a [String],
    /// The query.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whose it is.
    pub who: Who,
}

/// The body of an answer.
pub enum Payload {
    /// Known whole.
    Whole(Bytes),
    /// For as long as somebody listens.
    Stream(BoxStream<'static, Bytes>),
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(octets) => write!(f, "Whole({} octets)", octets.len()),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

type Answer = Result<Response<Payload>, Problem>;

/// Streams that are open at once.
const STREAMS: usize = 256;
/// And those of one person.
const STREAMS_OF_ONE: usize = 32;

impl Api {
    /// An API over these parts. `stopping` ends what would go on for ever.
    pub fn new(parts: Parts, settings: Settings, stopping: CancellationToken) -> Self {
        Self { parts, settings, streams: Arc::new(Semaphore::new(STREAMS)), listeners: Mutex::default(), stopping }
    }

    /// Answers one request.
    pub async fn answer(&self, request: &Request<'_>) -> Response<Payload> {
        let answer = if !request.method.is_safe() && self.is_foreign(request.headers) {
            Err(Problem::new(StatusCode::FORBIDDEN, "Another site asked for this change, so it was not made."))
        } else {
            self.dispatch(request).await
        };
        let mut response = answer.unwrap_or_else(Problem::into_response);
        self.allow_origin(request.headers, response.headers_mut());
        if request.method == Method::HEAD {
            return response.map(|_| Payload::Whole(Bytes::new()));
        }
        response
    }

    /// A problem that came up before the API was asked.
    pub fn refusal(&self, headers: &HeaderMap, problem: Problem) -> Response<Payload> {
        let mut response = problem.into_response();
        self.allow_origin(headers, response.headers_mut());
        response
    }

    /// What a browser asks before a script of another site may call (the Fetch standard's preflight).
    pub fn preflight(&self, headers: &HeaderMap) -> Response<Payload> {
        let mut response = empty(StatusCode::NO_CONTENT);
        let fields = response.headers_mut();
        self.allow_origin(headers, fields);
        if fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            let methods = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
            fields.insert(HeaderName::from_static("access-control-allow-methods"), methods);
            let allowed = HeaderValue::from_static("authorization, content-type, if-match");
            fields.insert(HeaderName::from_static("access-control-allow-headers"), allowed);
        }
        response
    }

    /// The description of the API, which needs no login.
    pub fn description() -> Response<Payload> {
        let mut response = Response::new(Payload::Whole(Bytes::from_static(DESCRIPTION.as_bytes())));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }

    /// Whether a browser says that a site which is not ours, and not one of those allowed, asked for this. A cookie or a
    /// remembered password would go along with what such a site sends.
    fn is_foreign(&self, headers: &HeaderMap) -> bool {
        let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let origin = field("origin");
        if origin.is_some_and(|origin| self.settings.origins.iter().any(|known| known == origin)) {
            return false;
        }
        match (field("sec-fetch-site"), origin) {
            (Some("same-origin" | "none"), _) | (None, None) => false,
            (Some(_), _) => true,
            (None, Some(origin)) => {
                let name = origin.split_once("://").map_or(origin, |(_, name)| name);
                origin != self.settings.public_url && !field("host").is_some_and(|host| host.eq_ignore_ascii_case(name))
            }
        }
    }

    /// Cookies never go along: another site's script must bring a password of its own.
    fn allow_origin(&self, asked: &HeaderMap, fields: &mut HeaderMap) {
        let Some(origin) = asked.get(ORIGIN) else { return };
        let is_known = |known: &String| known.as_bytes() == origin.as_bytes();
        if self.settings.origins.iter().any(is_known) {
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            fields.insert(VARY, HeaderValue::from_static("origin"));
            let exposed = HeaderValue::from_static("etag, link, location, x-request-id");
            fields.insert(HeaderName::from_static("access-control-expose-headers"), exposed);
        }
    }

    /// A place for one more stream: in all, and of this person.
    fn place(&self, user: &UserId) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = {
            let mut all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(user.clone()).or_insert_with(|| Arc::new(Semaphore::new(STREAMS_OF_ONE))))
        };
        Some([own.try_acquire_owned().ok()?, Arc::clone(&self.streams).try_acquire_owned().ok()?])
    }

    async fn dispatch(&self, request: &Request<'_>) -> Answer {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let method = match request.method.as_str() {
            "HEAD" => "GET",
            other => other,
        };
        admit(&request.who.via, method, &path)?;
        match (method, path.as_slice()) {
            ("GET", ["me"]) => Ok(self.me(request)),
            ("GET", ["health" | "status"]) => self.status(request).await,
            ("GET", ["events"]) => self.list_events(request).await,
            ("POST", ["events"]) => self.create_event(request).await,
            ("GET", ["events", id]) => self.event(request, id).await,
            ("PATCH", ["events", id]) => self.change_event(request, id).await,
            ("DELETE", ["events", id]) => self.delete_event(request, id).await,
            ("GET", ["quick"]) => self.quick(request),
            ("GET", ["freebusy"]) => self.free_busy(request).await,
            ("GET", ["accounts"]) => self.accounts(request).await,
            ("GET", ["sources"]) => self.sources(request).await,
            ("PATCH", ["sources", id]) => self.change_source(request, id).await,
            ("POST", ["sync"]) => self.sync_now(request).await,
            ("GET", ["jobs"]) => self.jobs(request).await,
            ("POST", ["jobs", id, "retry"]) => self.retry_job(request, id).await,
            ("DELETE", ["jobs", id]) => self.drop_job(request, id).await,
            ("GET", ["conflicts"]) => self.conflicts(request).await,
            ("POST", ["conflicts", id, "resolve"]) => self.resolve_conflict(request, id).await,
            ("GET", ["history", uid]) => self.history(request, uid).await,
            ("POST", ["history", uid, "restore"]) => self.restore(request, uid).await,
            ("GET", ["trash"]) => self.trash(request).await,
            ("GET", ["audit"]) => self.audit(request).await,
            ("GET", ["feeds"]) => self.feeds(request).await,
            ("POST", ["feeds"]) => self.add_feed(request).await,
            ("PATCH", ["feeds", id]) => self.change_feed(request, id).await,
            ("DELETE", ["feeds", id]) => self.revoke_feed(request, id).await,
            ("GET", ["app-passwords"]) => self.app_passwords(request).await,
            ("POST", ["app-passwords"]) => self.add_app_password(request).await,
            ("DELETE", ["app-passwords", id]) => self.revoke_app_password(request, id).await,
            ("GET", ["stream"]) => self.stream(request),
            _ if METHODS.contains(&method) => Err(Problem::not_found("There is nothing here.")),
            _ => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This resource does not take this method.")),
        }
    }

    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn me(&self, request: &Request<'_>) -> Response<Payload> {
        let who = &request.who;
        json(StatusCode::OK, &serde_json::json!({ "id": who.user, "admin": who.admin }))
    }
}

impl Request<'_> {
    /// The values of the query, the last of each name.
    fn asked(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(found, _)| found == name).last().map(|(_, value)| value.into_owned())
    }

    /// All values of one name in the query.
    fn asked_all(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(found, _)| found == name).map(|(_, value)| value.into_owned()).collect()
    }

    /// The body as JSON of this shape.
    fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        // A form of another site can't send these without a preflight.
        if !essence.eq_ignore_ascii_case("application/json")
            && !essence.eq_ignore_ascii_case("application/merge-patch+json")
        {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be application/json."));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde names members and positions, and repeats text that was sent to whoever sent it.
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("The body can't be understood: {error}"))
        })
    }

    fn author(&self) -> Author {
        let device = match &self.who.via {
            Via::AppPassword(id, _) => Some(id.to_string()),
            _ => None,
        };
        Author::Client { user: self.who.user.clone(), device }
    }
}

/// Whether whoever came in this way may ask for it. A device's password makes no others, as on the pages; one that may
/// only read only reads; and one for a single calendar is for `CalDAV`, since most of what is told here is of all.
fn admit(via: &Via, method: &str, path: &[&str]) -> Result<(), Problem> {
    let Via::AppPassword(_, scope) = via else { return Ok(()) };
    let refused = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
    match path {
        ["me"] => Ok(()),
        ["app-passwords", ..] => refused("Passwords of devices are managed with your own password."),
        _ if scope.collection.is_some() => refused("This password is for one calendar, by CalDAV alone."),
        _ if scope.read_only && method != "GET" => refused("This password may only read."),
        _ => Ok(()),
    }
}

/// An answer of JSON.
fn json(status: StatusCode, body: &impl Serialize) -> Response<Payload> {
    // Plain texts and numbers, which can always be written.
    let octets = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Payload::Whole(octets.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

fn empty(status: StatusCode) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METHODS: [&str; 4] = ["GET", "POST", "PATCH", "DELETE"];
const DESCRIPTION: &str = include_str!("openapi.json");
