//! The conversation with Graph: one bearer token, at most three requests at a time for a mailbox (providers.md 5.9: four
//! are allowed, one is left to others), `$batch`, and what each answer means.
//!
//! Invariant: decisions come from status and code, never from message text; a page of somebody in between (a captive
//! portal, a gateway that is down) is never taken for an answer; links are only followed to Graph itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::refusal::Refusal;
use crate::clock::Clock;
use crate::provider::{Fault, RemoteId, Tokens};
use crate::transport::retry_after::{self, retry_after};
use crate::transport::{SendRules, Transport};

/// One mailbox's conversation.
#[derive(Debug)]
pub(super) struct Session {
    api: Url,
    transport: Arc<dyn Transport>,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    budget: Semaphore,
}

/// A request before it has a token.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    url: Url,
    body: Option<Value>,
    tag: Option<String>,
}

impl Ask {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, tag: None }
    }

    pub(super) fn post(url: Url, body: Value) -> Self {
        Self { method: Method::POST, url, body: Some(body), tag: None }
    }

    pub(super) fn patch(url: Url, body: Value, tag: Option<&str>) -> Self {
        Self { method: Method::PATCH, url, body: Some(body), tag: tag.map(ToOwned::to_owned) }
    }

    pub(super) fn delete(url: Url, tag: Option<&str>) -> Self {
        Self { method: Method::DELETE, url, body: None, tag: tag.map(ToOwned::to_owned) }
    }
}

/// A whole answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, which must be what was asked for.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|_| unreadable())
    }

    /// `error.code`, in small letters: its case differs between Graph's services.
    pub(super) fn code(&self) -> Option<String> {
        let body: ErrorBody = serde_json::from_slice(&self.body).ok()?;
        Some(body.error.code?.to_ascii_lowercase())
    }

    /// The event that a repeated create has made before.
    pub(super) fn existing(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get("error")?.get("@event.existingEventId")?.as_str()?.to_owned())
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    code: Option<String>,
}

/// One part of a `$batch`.
pub(super) struct Part {
    pub(super) status: u16,
    pub(super) body: Value,
}

#[derive(Deserialize)]
struct BatchReply {
    responses: Vec<BatchPart>,
}

#[derive(Deserialize)]
struct BatchPart {
    id: String,
    status: u16,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    body: Value,
}

impl Session {
    pub(super) fn new(api: Url, transport: Arc<dyn Transport>, tokens: Arc<dyn Tokens>, clock: Arc<dyn Clock>) -> Self {
        Self { api, transport, tokens, clock, budget: Semaphore::new(AT_ONCE) }
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// The address of a resource: `path` relative to the API, its ids encoded by [`segment`].
    pub(super) fn url(&self, path: &str) -> Url {
        let base = self.api.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}")).unwrap_or_else(|_| self.api.clone())
    }

    pub(super) fn event(&self, id: &RemoteId, rest: &str) -> Url {
        self.url(&format!("me/events/{}{rest}", segment(id.as_str())))
    }

    /// A link that Graph gave, if it leads to Graph: the token goes nowhere else.
    pub(super) fn link(&self, text: &str) -> Result<Url, Fault> {
        let url = Url::parse(text).ok().filter(|url| url.origin() == self.api.origin());
        url.ok_or_else(|| Fault::Garbled("a link in Microsoft's answer leads elsewhere".to_owned()))
    }

    /// The answer to `ask`; a token that was refused is exchanged once.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Reply, Fault> {
        // Closed never: the semaphore lives as long as the session.
        let _permit = self.budget.acquire().await.ok();
        let token = self.tokens.access().await?;
        let reply = self.send(ask, token.expose_str().unwrap_or_default()).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        if has_claims(&reply.headers) {
            return Err(Fault::Unauthorized(
                "Microsoft wants the person to sign in again (conditional access): connect the account again"
                    .to_owned(),
            ));
        }
        self.tokens.refused(&token).await;
        let token = self.tokens.access().await?;
        self.send(ask, token.expose_str().unwrap_or_default()).await
    }

    /// The same, and anything but success is a fault.
    pub(super) async fn succeed(&self, ask: &Ask, aim: Aim) -> Result<Reply, Fault> {
        let reply = self.ask(ask).await?;
        if reply.is_success() { Ok(reply) } else { Err(self.fault(&reply, aim)) }
    }

    async fn send(&self, ask: &Ask, token: &str) -> Result<Reply, Fault> {
        let body = match &ask.body {
            Some(body) => Bytes::from(serde_json::to_vec(body).unwrap_or_default()),
            None => Bytes::new(),
        };
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.url.as_str())
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(ACCEPT, "application/json")
            .header(PREFER, PREFERENCES);
        if ask.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(tag) = &ask.tag {
            request = request.header(IF_MATCH, tag);
        }
        let request = request.body(body).map_err(|_| Fault::Garbled("the request can't be sent".to_owned()))?;
        let answer = self.transport.send(request, &SendRules::default()).await;
        let (parts, body) = answer.map_err(|error| Fault::Unreachable(error.to_string()))?.into_parts();
        let reply = Reply { status: parts.status.as_u16(), headers: parts.headers, body };
        let is_json =
            reply.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
        if reply.is_success() && !reply.body.is_empty() && !is_json {
            return Err(unreadable());
        }
        Ok(reply)
    }

    /// GETs of several resources in requests of 20. Parts that are throttled are asked for again after their pause.
    pub(super) async fn batch(&self, urls: &[Url]) -> Result<Vec<Part>, Fault> {
        let mut done: BTreeMap<usize, Part> = BTreeMap::new();
        for (chunk, of_chunk) in urls.chunks(BATCH).enumerate() {
            let mut wanted: Vec<usize> = (0..of_chunk.len()).map(|at| chunk * BATCH + at).collect();
            for turn in 0.. {
                let pause = self.batch_once(urls, &mut wanted, &mut done).await?;
                if wanted.is_empty() {
                    break;
                }
                match pause {
                    Some(pause) if turn < TURNS && pause <= PATIENCE => self.clock.sleep(pause).await,
                    pause => return Err(Fault::Throttled(pause)),
                }
            }
        }
        Ok(done.into_values().collect())
    }

    /// One `$batch`. Takes out of `wanted` what was answered; the pause that the rest asks for.
    async fn batch_once(
        &self,
        urls: &[Url],
        wanted: &mut Vec<usize>,
        done: &mut BTreeMap<usize, Part>,
    ) -> Result<Option<Duration>, Fault> {
        let base = self.api.as_str().trim_end_matches('/');
        let requests: Vec<Value> = wanted
            .iter()
            .filter_map(|at| Some((at, urls.get(*at)?.as_str().strip_prefix(base)?)))
            .map(|(at, url)| json!({"id": at.to_string(), "method": "GET", "url": url, "headers": {"Prefer": PREFERENCES}}))
            .collect();
        let ask = Ask::post(self.url("$batch"), json!({"requests": requests}));
        let reply: BatchReply = self.succeed(&ask, Aim::Calendar).await?.read()?;
        let mut pause = None;
        for part in reply.responses {
            let Ok(at) = part.id.parse::<usize>() else { return Err(unreadable()) };
            if !wanted.contains(&at) {
                return Err(unreadable());
            }
            if part.status == 429 || part.status == 503 {
                pause = pause.max(Some(part_pause(part.headers.as_ref(), self.now())));
                continue;
            }
            wanted.retain(|waiting| *waiting != at);
            done.insert(at, Part { status: part.status, body: part.body });
        }
        // A part that is not answered at all is no answer.
        if pause.is_none() && !wanted.is_empty() {
            return Err(unreadable());
        }
        Ok(pause)
    }

    /// What an answer other than the hoped-for one means.
    pub(super) fn fault(&self, reply: &Reply, aim: Aim) -> Fault {
        let pause = retry_after(&reply.headers, self.now());
        classify(reply.status, reply.code().as_deref().unwrap_or_default(), pause, aim)
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// A calendar, or the account as a whole.
    Calendar,
    /// One event.
    Event,
    /// A round of changes.
    Delta,
}

/// The one table of answers (providers.md 5.9).
pub(super) fn classify(status: u16, code: &str, pause: Option<Duration>, aim: Aim) -> Fault {
    let is_sync_state = code.contains("syncstate") || code.contains("resync");
    let of_mailbox = code.starts_with("mailboxnot");
    match status {
        401 => {
            Fault::Unauthorized("Microsoft does not accept the sign-in any more: connect the account again".to_owned())
        }
        // Of the account as a whole, not of what was to be written.
        404 if of_mailbox => Fault::Unreachable(
            "this mailbox can't be reached by Microsoft Graph (on premises, or without a licence)".to_owned(),
        ),
        410 if aim == Aim::Delta => Fault::CursorExpired,
        400 if aim == Aim::Delta && is_sync_state => Fault::CursorExpired,
        404 | 410 => match aim {
            Aim::Event => Fault::Gone,
            Aim::Calendar | Aim::Delta => Fault::CalendarGone,
        },
        403 => Fault::Forbidden("Microsoft does not allow this in this calendar".to_owned()),
        409 | 412 => Fault::Changed,
        429 | 509 => Fault::Throttled(pause),
        503 if pause.is_some() => Fault::Throttled(pause),
        507 => Fault::Unreachable("the mailbox is full: make room in Outlook".to_owned()),
        400 if code == "erroroccurrencecrossingboundary" => Fault::Refused(Refusal::Crossing.to_string()),
        400 | 405 | 411 | 413..=415 | 422 | 501 if aim == Aim::Event => {
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
            Fault::Refused(format!("Microsoft does not take this event ({status} {code})"))
        }
        _ => Fault::Unreachable(format!("Microsoft answers with status {status}")),
    }
}

/// An id as one segment of a path. Ids have `/`, `+` and `=` in them.
pub(super) fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

fn has_claims(headers: &HeaderMap) -> bool {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .any(|value| value.to_str().is_ok_and(|text| text.contains("insufficient_claims") || text.contains("claims=")))
}

fn part_pause(headers: Option<&BTreeMap<String, Value>>, now: jiff::Timestamp) -> Duration {
    let value = headers.and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after")));
    let text = value.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
    text.and_then(|text| retry_after::parse(&text, now)).unwrap_or(UNNAMED)
}

pub(super) fn unreadable() -> Fault {
    Fault::Garbled("Microsoft's answer can't be read".to_owned())
}

/// On every request: ids that survive moves, times in UTC, pages of a size that a long series does not blow up.
const PREFERENCES: &str = "IdType=\"ImmutableId\", outlook.timezone=\"UTC\", odata.maxpagesize=200";
const PREFER: HeaderName = HeaderName::from_static("prefer");
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const AT_ONCE: usize = 3;
/// Requests in one `$batch`.
pub(super) const BATCH: usize = 20;
const TURNS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
const UNNAMED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_status_and_code() {
        let table = [
            (400, "errorpropertyvalidationfailure", Aim::Event, "Refused"),
            (400, "erroroccurrencecrossingboundary", Aim::Event, "Refused"),
            (400, "syncstatenotfound", Aim::Delta, "CursorExpired"),
            (410, "resyncrequired", Aim::Delta, "CursorExpired"),
            (410, "", Aim::Delta, "CursorExpired"),
            (401, "invalidauthenticationtoken", Aim::Event, "Unauthorized"),
            (403, "erroraccessdenied", Aim::Event, "Forbidden"),
            (404, "erroritemnotfound", Aim::Event, "Gone"),
            (404, "erroritemnotfound", Aim::Calendar, "CalendarGone"),
            (404, "mailboxnotenabledforrestapi", Aim::Event, "Unreachable"),
            (404, "mailboxnotsupportedforrestapi", Aim::Delta, "Unreachable"),
            (409, "errorirresolvableconflict", Aim::Event, "Changed"),
            (412, "errorirresolvableconflict", Aim::Event, "Changed"),
            (429, "applicationthrottled", Aim::Event, "Throttled"),
            (500, "", Aim::Event, "Unreachable"),
            (503, "errorserverbusy", Aim::Delta, "Unreachable"),
            (504, "", Aim::Calendar, "Unreachable"),
            (507, "", Aim::Event, "Unreachable"),
            (509, "", Aim::Event, "Throttled"),
        ];
        for (status, code, aim, expected) in table {
            let fault = classify(status, code, None, aim);
            assert!(format!("{fault:?}").starts_with(expected), "{status} {code} {aim:?}: {fault:?}");
        }
    }

    #[test]
    fn an_id_is_one_segment() {
        assert_eq!(segment("AAMk/+=a_b-"), "AAMk%2F%2B%3Da_b-");
    }
}
