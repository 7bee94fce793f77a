//! From a request for a feed to its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::redact::{Judge, as_object};
use super::rendering::Rendering;
use super::{FeedFault, Feeds};
use crate::agenda::{Clockwork, Label, Occurrence, occurrences};
use crate::dav::Match;
use crate::ical::{Budget, TimeRange};
use crate::subscription::{Feed, Field, Kind, Opened};

/// How a feed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// iCalendar.
    Ics,
    /// Occurrences as JSON.
    Json,
}

/// A request for a feed.
#[derive(Debug)]
pub struct Request<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// What opens it.
    pub token: &'a str,
    /// What is asked for.
    pub format: Format,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The query: `start`, `end` and `timeZone` of JSON.
    pub query: &'a str,
    /// Who asks.
    pub peer: IpAddr,
}

/// The body of an answer.
pub enum Payload {
    /// Known whole.
    Whole(Bytes),
    /// Made piece by piece while it is sent.
    Pieces(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(octets) => write!(f, "Whole({} octets)", octets.len()),
            Self::Pieces(_) => f.write_str("Pieces(..)"),
        }
    }
}

impl Feeds {
    /// Answers a request for a feed.
    pub async fn answer(&self, request: &Request<'_>) -> Response<Payload> {
        let now = self.clock.monotonic();
        if let Some(wait) = self.guesses.held_up(request.peer, now) {
            return later(StatusCode::TOO_MANY_REQUESTS, wait, "Too many wrong feed addresses from here; please wait.");
        }
        let feed = match self.subscriptions.open(request.token).await {
            Ok(Opened::Feed(feed)) => feed,
            Ok(Opened::Gone) => return plain(StatusCode::GONE, "This feed has ended: it was revoked or has expired."),
            Ok(Opened::Unknown) => {
                self.guesses.wrong(request.peer, now);
                return plain(StatusCode::NOT_FOUND, "There is no such feed. Please check the address.");
            }
            Err(error) => return failed(&error.into()),
        };
        let answer = match request.format {
            Format::Ics => self.calendar(request, &feed).await,
            Format::Json => self.json(request, &feed).await,
        };
        let mut response = answer.unwrap_or_else(|fault| failed(&fault));
        let headers = response.headers_mut();
        // The address is the secret, so a page that knows it may read it; no cookie plays a part.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
        if request.method == Method::HEAD {
            return response.map(|_| Payload::Whole(Bytes::new()));
        }
        response
    }

    async fn calendar(&self, request: &Request<'_>, feed: &Feed) -> Result<Response<Payload>, FeedFault> {
        let rendering = self.rendering(feed).await?;
        let packs = rendering.length >= WORTH_PACKING && takes_gzip(request.headers);
        let etag = if packs { format!("{}-gzip", rendering.etag) } else { rendering.etag.clone() };
        let known = is_known(request.headers, &rendering, &etag);
        let mut response = Response::new(Payload::Whole(Bytes::new()));
        let headers = response.headers_mut();
        set(headers, ETAG, &format!("\"{etag}\""));
        set(headers, LAST_MODIFIED, &http_date(rendering.modified));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"));
        headers.insert(HeaderName::from_static("content-disposition"), HeaderValue::from_static(FILE));
        if packs {
            let packed = Arc::clone(&rendering).packed().await;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(packed.len()));
            return Ok(response.map(|_| Payload::Whole(packed)));
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(rendering.length));
        Ok(response.map(|_| Payload::Pieces(Box::new(rendering.chunks()))))
    }

    async fn json(&self, request: &Request<'_>, feed: &Feed) -> Result<Response<Payload>, FeedFault> {
        let asked = match Asked::of(request.query, self.clock.now()) {
            Ok(asked) => asked,
            Err(words) => return Ok(plain(StatusCode::BAD_REQUEST, words)),
        };
        let scope = self.scope(feed).await?;
        let range =
            TimeRange { start: asked.range.start.max(scope.window.start), end: asked.range.end.min(scope.window.end) };
        let (mut found, mut budget) = (Vec::<Occurrence>::new(), Budget::request());
        if range.start < range.end {
            for (number, (collection, entry, allowed)) in self.shown(&scope, &range).await?.into_iter().enumerate() {
                if number % 64 == 0 {
                    tokio::task::yield_now().await;
                }
                let object = self.calendars.object(&collection.id, &entry).await?;
                let judge = Judge { feed, allowed, own: &scope.own };
                let Some(object) = judge.fragment(&object).as_ref().and_then(as_object) else { continue };
                let tells = feed.rules.kind == Kind::Events && feed.rules.fields(allowed).contains(&Field::Categories);
                let color = collection.color.clone().filter(|_| tells);
                let label = Label { event: feed.alias(object.uid()), color, ..Label::default() };
                found.extend(occurrences(&object, &label, &range, &asked.clock, &mut budget)?);
            }
        }
        found.sort_by(|a, b| (a.starts, &a.id).cmp(&(b.starts, &b.id)));
        // Plain text and numbers, which can always be written.
        let body = if feed.rules.kind == Kind::FreeBusy { busy_json(&found) } else { serde_json::to_vec(&found) };
        Ok(json(request, body.unwrap_or_default()))
    }
}

/// When time is taken, and nothing else.
fn busy_json(found: &[Occurrence]) -> Result<Vec<u8>, serde_json::Error> {
    let taken = found.iter().filter(|one| !one.extended_props.transparent);
    let taken: Vec<_> = taken
        .map(|one| serde_json::json!({ "title": "Busy", "start": one.start, "end": one.end, "allDay": one.all_day }))
        .collect();
    serde_json::to_vec(&taken)
}

fn json(request: &Request<'_>, body: Vec<u8>) -> Response<Payload> {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(&body);
    let etag = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
    let known = Match::if_none_match(request.headers).ok().flatten().is_some_and(|asked| asked.means(Some(&etag)));
    let mut response = Response::new(Payload::Whole(Bytes::new()));
    set(response.headers_mut(), ETAG, &format!("\"{etag}\""));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    response.map(|_| Payload::Whole(body.into()))
}

/// What a JSON reader asks for.
struct Asked {
    range: TimeRange,
    clock: Clockwork,
}

impl Asked {
    /// Without a range: the last month and the next year.
    fn of(query: &str, now: Timestamp) -> Result<Self, &'static str> {
        let days = |count: i64| SignedDuration::from_hours(24 * count);
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let asked = |wanted: &str| pairs.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.as_ref());
        let clock = Clockwork::named(asked("timeZone").unwrap_or_default());
        let clock = clock.ok_or("timeZone is no name such as Europe/Berlin")?;
        let moment = |name: &str, otherwise: Timestamp| asked(name).map_or(Some(otherwise), |text| clock.moment(text));
        let start = moment("start", now - days(31)).ok_or("start is no time such as 2026-03-01T00:00:00Z")?;
        let end = moment("end", now + days(366)).ok_or("end is no time such as 2026-03-01T00:00:00Z")?;
        Ok(Self { range: TimeRange { start, end }, clock })
    }
}

/// Whether the reader has this already. The date counts only where no tag was sent (RFC 9110 13.1.3).
fn is_known(headers: &HeaderMap, rendering: &Rendering, etag: &str) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return Match::if_none_match(headers).ok().flatten().is_some_and(|asked| asked.means(Some(etag)));
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since =
        since.and_then(|text| jiff::fmt::strtime::parse(DATE, text).ok()).and_then(|parsed| parsed.to_datetime().ok());
    let since = since.and_then(|local| jiff::tz::Offset::UTC.to_timestamp(local).ok());
    since.is_some_and(|since| rendering.modified <= since)
}

/// Whether gzip is acceptable and not refused by `q=0` (RFC 9110 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused =
            parts.filter_map(|part| part.strip_prefix("q=")).any(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        named && !refused
    })
}

fn http_date(at: Timestamp) -> String {
    at.strftime(DATE).to_string()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn failed(fault: &FeedFault) -> Response<Payload> {
    match fault {
        FeedFault::Overrun => plain(
            StatusCode::UNPROCESSABLE_ENTITY,
            "There are too many occurrences in this time; please ask for a shorter one.",
        ),
        FeedFault::Store(error) => {
            tracing::error!(%error, "the store failed");
            later(StatusCode::SERVICE_UNAVAILABLE, LATER, "The store is not available; please try again.")
        }
    }
}

fn later(status: StatusCode, wait: Duration, words: &'static str) -> Response<Payload> {
    let mut response = plain(status, words);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

fn plain(status: StatusCode, words: &'static str) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Bytes::from(format!("{words}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
const FILE: &str = "inline; filename=\"calendar.ics\"";
/// A smaller answer fits one packet anyway.
const WORTH_PACKING: usize = 1400;
const LATER: Duration = Duration::from_secs(10);
