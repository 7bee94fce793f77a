//! Requests to the API, and what its refusals mean (guides, "Handle API errors").
//!
//! Classified by status and `reason` and never by the message, which is localised. The same status means several things:
//! 403 is a missing right, a limit, a scope or the project's set-up; 410 is an expired token or a deleted event.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::{Google, bearer};
use crate::provider::{Fault, RemoteId};
use crate::transport::{SendRules, retry_after};

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    if_match: Option<String>,
}

/// What a request is about: the same status says different things of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// The list of calendars, or one of them.
    Calendar,
    /// A listing that goes on from a token.
    Round,
    /// One event.
    Event,
}

impl Ask {
    fn new(method: Method, path: &[&str], body: Option<Value>) -> Self {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        Self { method, path, query: Vec::new(), body, if_match: None }
    }

    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path, None)
    }

    pub(super) fn post(path: &[&str], body: Value) -> Self {
        Self::new(Method::POST, path, Some(body))
    }

    pub(super) fn patch(path: &[&str], body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body))
    }

    /// Without a body.
    pub(super) fn empty(method: Method, path: &[&str]) -> Self {
        Self::new(method, path, None)
    }

    pub(super) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path, None)
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn if_match(mut self, etag: Option<&str>) -> Self {
        self.if_match = etag.map(str::to_owned);
        self
    }
}

impl Google {
    /// The answer to a request; `Null` where it has none. A refused token is replaced once.
    pub(super) async fn ask(&self, ask: Ask, aim: Aim) -> Result<Value, Fault> {
        let mut is_second = false;
        loop {
            let token = self.means.tokens.access().await?;
            let request = self.request(&ask, &token)?;
            let sent = self.means.transport.send(request, &SendRules::default()).await;
            let answer = sent.map_err(|error| Fault::Unreachable(error.to_string()))?;
            if answer.status() == StatusCode::UNAUTHORIZED && !is_second {
                is_second = true;
                self.means.tokens.refused(&token).await;
                continue;
            }
            return self.read(&answer, aim);
        }
    }

    fn request(&self, ask: &Ask, token: &crate::vault::Secret) -> Result<Request<Bytes>, Fault> {
        let mut url = self.means.api.clone();
        {
            let mut path = url.path_segments_mut().map_err(|()| Fault::Garbled("the API has no address".to_owned()))?;
            path.pop_if_empty().extend(&ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url.as_str())
            .header(ACCEPT, "application/json")
            // The service compresses for programs whose name says that they want it.
            .header(USER_AGENT, concat!("LinearTime/", env!("CARGO_PKG_VERSION"), " (gzip)"));
        if let Some(bearer) = bearer(token) {
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(etag) = &ask.if_match {
            request = request.header(IF_MATCH, etag);
        }
        let body = match &ask.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request.body(body).map_err(|_| Fault::Garbled("a request that can't be sent".to_owned()))
    }

    fn read(&self, answer: &Response<Bytes>, aim: Aim) -> Result<Value, Fault> {
        let status = answer.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
        if status.is_success() {
            if answer.body().is_empty() {
                return Ok(Value::Null);
            }
            // A page of somebody in between, or an answer cut short: nothing may be concluded from it.
            let whole = body.filter(Value::is_object);
            return whole.ok_or_else(|| Fault::Garbled("Google's answer is not what the API promises".to_owned()));
        }
        let pause = retry_after::retry_after(answer.headers(), self.means.clock.now());
        Err(fault(status, body.as_ref(), aim, pause))
    }

    /// Whether the calendar itself is still there: an event that is not found proves nothing without it.
    pub(super) async fn gone(&self, calendar: &RemoteId) -> Fault {
        match self.ask(Ask::get(&["users", "me", "calendarList", calendar.as_str()]), Aim::Calendar).await {
            Ok(_) => Fault::Gone,
            Err(fault) => fault,
        }
    }
}

/// The `reason` of a refusal, in either of the forms that are in use.
fn reason(body: Option<&Value>) -> Option<&str> {
    let error = body?.get("error")?;
    let first = error.pointer("/errors/0/reason").and_then(Value::as_str);
    let details = error.get("details").and_then(Value::as_array);
    let detail = details.and_then(|all| all.iter().find_map(|detail| detail.get("reason").and_then(Value::as_str)));
    // The short form of newer endpoints names the scope problem in the details alone.
    detail.filter(|reason| *reason == SCOPE).or(first).or(detail)
}

/// What a refusal means for what happens next.
#[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
pub(super) fn fault(status: StatusCode, body: Option<&Value>, aim: Aim, pause: Option<Duration>) -> Fault {
    let reason = reason(body).unwrap_or_default();
    match (status.as_u16(), reason) {
        (401, _) => Fault::Unauthorized("Google refuses the sign-in: connect the account again".to_owned()),
        (403, "userRateLimitExceeded" | "rateLimitExceeded" | "quotaExceeded") | (429, _) => Fault::Throttled(pause),
        (403, "calendarUsageLimitsExceeded" | "dailyLimitExceeded") => Fault::Throttled(pause.or(Some(LONG))),
        // Whatever has run out, it says nothing of what was sent.
        (403, limit) if limit == "RATE_LIMIT_EXCEEDED" || limit.ends_with("LimitExceeded") => Fault::Throttled(pause),
        (403, "forbiddenForNonOrganizer") => {
            Fault::Refused("only the organizer can change this, Google says".to_owned())
        }
        (403, "insufficientPermissions" | SCOPE) => Fault::Unauthorized(
            "Google was not allowed to let this program see and change events: connect the account again and tick every box"
                .to_owned(),
        ),
        (403, "accessNotConfigured" | "SERVICE_DISABLED") => Fault::Unauthorized(
            "the administrator must enable the Google Calendar API in the project of providers.google.client_id".to_owned(),
        ),
        (403, "domainPolicy" | "accountDisabled" | "accountDeleted" | "CONSUMER_SUSPENDED" | "CONSUMER_INVALID") => {
            Fault::Unauthorized(format!("Google does not let this account be used by programs ({})", word(reason)))
        }
        // A page of somebody in between, or one that takes us for a robot: no word on what was sent.
        (403 | 400, "") if body.is_none() && aim != Aim::Round => Fault::Unreachable(format!("Google answers {status} without a reason")),
        (403, _) => Fault::Forbidden("Google does not allow this".to_owned()),
        (404, _) if aim == Aim::Event => Fault::Gone,
        (404, _) => Fault::CalendarGone,
        (409, _) => Fault::Exists(None),
        (410, _) if aim == Aim::Event => Fault::Gone,
        // A token that can't be read is answered with 400 by some front ends.
        (410, _) | (400, "fullSyncRequired" | "invalidSyncToken") => Fault::CursorExpired,
        (400, _) if aim == Aim::Round => Fault::CursorExpired,
        (412, _) => Fault::Changed,
        (400, _) => Fault::Refused(format!("Google does not take this event ({})", word(reason))),
        (status @ 500.., _) => match pause {
            Some(pause) => Fault::Throttled(Some(pause)),
            None => Fault::Unreachable(format!("Google answers {status}")),
        },
        (status, _) => Fault::Garbled(format!("Google answers {status}")),
    }
}

/// A reason as it may be shown: a word of the API and nothing else.
fn word(reason: &str) -> String {
    let word: String = reason.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    if word.is_empty() { "badRequest".to_owned() } else { word }
}

const SCOPE: &str = "ACCESS_TOKEN_SCOPE_INSUFFICIENT";
/// For limits that count by the day.
const LONG: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every row of the table of errors.
    #[test]
    fn refusals_are_told_apart() {
        let of = |status: u16, reason: &str, aim| {
            let body = json!({ "error": { "errors": [{ "domain": "x", "reason": reason }], "code": status } });
            fault(StatusCode::from_u16(status).unwrap(), Some(&body), aim, None)
        };
        assert!(matches!(of(400, "timeRangeEmpty", Aim::Event), Fault::Refused(why) if why.contains("timeRangeEmpty")));
        assert!(matches!(of(401, "authError", Aim::Event), Fault::Unauthorized(_)));
        for reason in ["userRateLimitExceeded", "rateLimitExceeded", "quotaExceeded"] {
            assert_eq!(of(403, reason, Aim::Event), Fault::Throttled(None));
        }
        assert!(matches!(of(403, "forbiddenForNonOrganizer", Aim::Event), Fault::Refused(_)));
        assert!(
            matches!(of(403, "insufficientPermissions", Aim::Event), Fault::Unauthorized(why) if why.contains("box"))
        );
        assert!(
            matches!(of(403, "accessNotConfigured", Aim::Event), Fault::Unauthorized(why) if why.contains("enable"))
        );
        assert_eq!(of(403, "dailyLimitExceeded", Aim::Event), Fault::Throttled(Some(LONG)));
        assert!(matches!(of(403, "forbidden", Aim::Event), Fault::Forbidden(_)));
        assert_eq!(of(404, "notFound", Aim::Event), Fault::Gone);
        assert_eq!(of(404, "notFound", Aim::Round), Fault::CalendarGone);
        assert_eq!(of(409, "duplicate", Aim::Event), Fault::Exists(None));
        assert_eq!(of(410, "fullSyncRequired", Aim::Round), Fault::CursorExpired);
        assert_eq!(of(410, "updatedMinTooLongAgo", Aim::Round), Fault::CursorExpired);
        assert_eq!(of(410, "deleted", Aim::Event), Fault::Gone);
        assert_eq!(of(412, "conditionNotMet", Aim::Event), Fault::Changed);
        assert_eq!(of(429, "rateLimitExceeded", Aim::Round), Fault::Throttled(None));
        assert!(matches!(of(503, "backendError", Aim::Round), Fault::Unreachable(_)));
        let html = fault(StatusCode::BAD_GATEWAY, None, Aim::Round, Some(Duration::from_secs(7)));
        assert_eq!(html, Fault::Throttled(Some(Duration::from_secs(7))));
    }
}
