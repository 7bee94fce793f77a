//! What went wrong, as RFC 9457 has it: status, title and words for a person.

use std::error::Error;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use super::Payload;
use crate::agenda::InputFault;
use crate::calendar::{PutError, QueryError, ResolveError};
use crate::sync;

/// Why a request was not done.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    /// The member of the body at fault.
    member: Option<&'static str>,
    retry_after: Option<Duration>,
    challenges: bool,
}

impl Problem {
    /// A problem with words for a person.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), member: None, retry_after: None, challenges: false }
    }

    /// Nothing is there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Nobody is signed in. `challenge`: ask for a password (a browser's own question for one is nothing for a page's
    /// script).
    pub fn unauthorized(challenge: bool) -> Self {
        Self { challenges: challenge, ..Self::new(StatusCode::UNAUTHORIZED, "Please sign in.") }
    }

    /// To be tried again.
    pub fn later(status: StatusCode, wait: Duration, detail: impl Into<String>) -> Self {
        Self { retry_after: Some(wait), ..Self::new(status, detail) }
    }

    /// What a part of ours said that is no fault of the caller: it goes to the log.
    pub(super) fn internal(error: impl Error) -> Self {
        tracing::error!(%error, "a request to the API failed");
        let words = "Something behind this did not work; please try again.";
        Self::later(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(10), words)
    }

    /// The answer.
    pub fn into_response(self) -> Response<Payload> {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let mut body = json!({
            "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail,
        });
        if let (Some(member), Some(fields)) = (self.member, body.as_object_mut()) {
            fields.insert("member".to_owned(), json!(member));
        }
        let mut response = super::json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.challenges {
            let challenge = HeaderValue::from_static("Basic realm=\"LinearTime\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<InputFault> for Problem {
    fn from(fault: InputFault) -> Self {
        let member = match &fault {
            InputFault::Member(member, _) => Some(*member),
            InputFault::NoOccurrence | InputFault::Unchangeable => None,
        };
        let status = match &fault {
            InputFault::NoOccurrence => StatusCode::NOT_FOUND,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self { member, ..Self::new(status, fault.to_string()) }
    }
}

impl From<PutError> for Problem {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Refused(refusal) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string()),
            PutError::ConditionFailed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "The event was changed by somebody else meanwhile; please read it again.",
            ),
            PutError::NotFound => Self::not_found("There is no such event."),
            PutError::Stale => Self::later(
                StatusCode::SERVICE_UNAVAILABLE,
                Duration::from_secs(1),
                "Others are writing the same; please try again.",
            ),
            PutError::Store(error) => Self::internal(error),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Overrun(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "There are too many occurrences in this time; please ask for a shorter one.",
            ),
            QueryError::Store(error) => Self::internal(error),
        }
    }
}

impl From<sync::ResolveError> for Problem {
    fn from(error: sync::ResolveError) -> Self {
        match error {
            sync::ResolveError::Calendar(error) => error.into(),
            sync::ResolveError::Sync(error) => Self::internal(error),
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::NotFound => Self::not_found(error.to_string()),
            ResolveError::OneSided => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            ResolveError::Put(error) => error.into(),
        }
    }
}
