//! From what happened to what the client is told: the only code that chooses a status for a failure.
//!
//! `reliability.md` 2.5 is the table. Trouble that passes is never a 4xx (Thunderbird disables a calendar on one) but
//! 503 with Retry-After; 412 is for a client's own stale tag alone (DAVx5 drops the person's edit on it).
//! What the store said goes to the log and never to the client.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response, StatusCode};

use super::authenticate::SignIn;
use super::limit::BodyError;
use crate::caldav::Failure;
use crate::caldav::body::{Body, whole};
use crate::dav::Precondition;

/// Why a request got no answer of its own.
#[derive(Debug)]
pub(super) enum Problem {
    /// CalDAV says why.
    Dav(Failure),
    /// Nobody is signed in.
    SignIn(SignIn),
    /// The body could not be read.
    Body(BodyError),
    /// The request line or the header can't be taken; in words.
    Request(&'static str),
    /// The request target is too long.
    TargetTooLong,
    /// Too many or too large header fields.
    HeaderTooLarge,
    /// The client expects what nobody promises (RFC 9110 10.1.1).
    Expectation,
    /// Nothing is there.
    NotFound,
    /// The method is not for this resource; these are.
    Method(&'static str),
    /// Too much is going on.
    Overload,
    /// It took too long.
    TimedOut,
    /// A defect of ours.
    Defect,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Dav(failure)
    }
}

impl From<SignIn> for Problem {
    fn from(why: SignIn) -> Self {
        Self::SignIn(why)
    }
}

impl From<BodyError> for Problem {
    fn from(why: BodyError) -> Self {
        Self::Body(why)
    }
}

/// The answer to a failed request. `allow` is what the resource takes.
pub(super) fn failed(problem: Problem, allow: Option<&'static str>) -> Response<Body> {
    match problem {
        Problem::Dav(failure) => dav_failed(failure, allow),
        Problem::SignIn(why) => not_signed_in(&why),
        Problem::Body(why) => match why {
            BodyError::TooLarge => closing(plain(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large.")),
            BodyError::BadLength => closing(plain(StatusCode::BAD_REQUEST, "Content-Length is no number.")),
            BodyError::TooSlow => closing(plain(StatusCode::REQUEST_TIMEOUT, "The request body came too slowly.")),
            BodyError::Broken => closing(plain(StatusCode::BAD_REQUEST, "The request body broke off.")),
        },
        Problem::Request(words) => closing(plain(StatusCode::BAD_REQUEST, words)),
        Problem::TargetTooLong => closing(plain(StatusCode::URI_TOO_LONG, "The request target is too long.")),
        Problem::HeaderTooLarge => {
            closing(plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request header is too large."))
        }
        Problem::Expectation => closing(plain(StatusCode::EXPECTATION_FAILED, "Only 100-continue can be expected.")),
        Problem::NotFound => plain(StatusCode::NOT_FOUND, "There is nothing here."),
        Problem::Method(allow) => not_allowed(Some(allow)),
        Problem::Overload => later(Duration::from_secs(5), "Too many requests at once; please try again."),
        Problem::TimedOut => later(Duration::from_secs(10), "The request took too long; please try again."),
        Problem::Defect => plain(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here; it is in the log."),
    }
}

fn dav_failed(failure: Failure, allow: Option<&'static str>) -> Response<Body> {
    match failure {
        Failure::Violated(precondition) => violated(&precondition),
        Failure::Malformed(malformed) => match malformed.precondition() {
            Some(precondition) => violated(&precondition),
            None => plain(malformed.status(), malformed.to_string()),
        },
        Failure::Bad(words) => plain(StatusCode::BAD_REQUEST, words),
        Failure::BadHeader(bad) => plain(StatusCode::BAD_REQUEST, bad.to_string()),
        Failure::NotFound => plain(StatusCode::NOT_FOUND, "There is nothing here."),
        Failure::NotAllowed => not_allowed(allow),
        Failure::Forbidden(words) => plain(StatusCode::FORBIDDEN, words),
        Failure::Conflict(words) => plain(StatusCode::CONFLICT, words),
        Failure::ConditionFailed => {
            plain(StatusCode::PRECONDITION_FAILED, "The resource is not in the state that the request asks for.")
        }
        Failure::MediaType(words) => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, words),
        Failure::Elsewhere => plain(StatusCode::BAD_GATEWAY, "The destination is on another server."),
        Failure::Rejected(reason) => {
            plain(StatusCode::FORBIDDEN, format!("The account behind this calendar refused the change: {reason}"))
        }
        Failure::Busy => later(Duration::from_secs(1), "Others are writing the same; please try again."),
        Failure::Store(error) => {
            tracing::error!(%error, "the store failed");
            later(Duration::from_secs(10), "The store is not available; please try again.")
        }
    }
}

fn violated(precondition: &Precondition) -> Response<Body> {
    let mut response = Response::new(whole(precondition.body()));
    *response.status_mut() = precondition.status();
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
}

fn not_signed_in(why: &SignIn) -> Response<Body> {
    match why {
        SignIn::Needed => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "Please sign in.");
            response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
            response
        }
        SignIn::Overheard => plain(StatusCode::FORBIDDEN, OVERHEARD),
        SignIn::Throttled(wait) => {
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many failed sign-ins; please wait.");
            response.headers_mut().insert(RETRY_AFTER, seconds(*wait));
            response
        }
        SignIn::Busy => later(Duration::from_secs(1), "Too many sign-ins at once; please try again."),
        SignIn::Store => later(Duration::from_secs(10), "The store is not available; please try again."),
    }
}

fn not_allowed(allow: Option<&'static str>) -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This resource does not take this method.");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow.unwrap_or_default()));
    response
}

fn later(wait: Duration, words: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, words);
    response.headers_mut().insert(RETRY_AFTER, seconds(wait));
    response
}

/// Words for a person.
pub(super) fn plain(status: StatusCode, words: impl Into<String>) -> Response<Body> {
    let mut words = words.into();
    words.push('\n');
    let mut response = Response::new(whole(words));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// What is left of the request can't be trusted, or is not worth reading.
fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What every answer carries, unless it says otherwise itself. One that went over https says that the next must, too.
pub(super) fn harden(headers: &mut HeaderMap, request_id: &str, https: bool) {
    for (name, value) in FIXED {
        headers.entry(name).or_insert(value);
    }
    if https {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(ONE_YEAR);
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs().max(1))
}

// A proxy that compresses would change the entity tags (clients.md Q28).
const FIXED: [(HeaderName, HeaderValue); 5] = [
    (CACHE_CONTROL, HeaderValue::from_static("private, no-cache, no-transform")),
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    // For browsers that don't know frame-ancestors.
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
];
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
const XML: HeaderValue = HeaderValue::from_static("application/xml; charset=utf-8");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"LinearTime\", charset=\"UTF-8\"");
pub(super) const OVERHEARD: &str = "This server takes passwords only over https, because over plain http others could read them. \
Use the https address of the server; if a proxy in front of it does https, name the proxy in server.trusted_proxies.";
