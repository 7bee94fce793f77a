//! What an answer means for the work at hand: the one table from statuses and preconditions to [`Fault`].
//!
//! Invariant: decisions come from status, precondition element and `Retry-After`, never from message text;
//! trouble that may pass is never taken for a verdict. Nothing of a body, a URL or a credential gets into
//! the words.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;

use super::request::{is_cut, precondition};
use super::session::Reply;
use crate::provider::Fault;
use crate::transport::TransportError;
use crate::transport::retry_after::retry_after;

/// What was being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// A calendar or home as a whole.
    Calendar,
    /// One object.
    Object,
}

/// The fault that an answer other than the hoped-for one means.
pub(super) fn fault(reply: &Reply, aim: Aim, now: Timestamp) -> Fault {
    let pause = retry_after(&reply.headers, now);
    let status = reply.status.as_u16();
    match status {
        401 => Fault::Unauthorized("the server refuses the user name or the password".to_owned()),
        402 | 403 if aim == Aim::Object && precondition(reply).is_some_and(|name| is_about_object(&name)) => {
            Fault::Refused(words(reply))
        }
        402 | 403 => Fault::Forbidden(words(reply)),
        404 | 410 | 418 => match aim {
            Aim::Calendar => Fault::CalendarGone,
            Aim::Object => Fault::Gone,
        },
        // The reason was cut off on its way: nothing final may be concluded.
        409 if is_cut(reply) => Fault::Garbled(words(reply)),
        412 => Fault::Changed,
        423 | 429 => Fault::Throttled(pause),
        503 if pause.is_some() => Fault::Throttled(pause),
        // A full store needs a person; asking again soon helps nobody.
        507 => Fault::Throttled(Some(pause.unwrap_or(FULL))),
        400 | 405 | 409 | 411 | 413..=415 | 422 | 431 | 501 => Fault::Refused(words(reply)),
        408 | 425 | 300..=399 | 402..=499 | 500..=599 => Fault::Unreachable(words(reply)),
        _ => Fault::Garbled(format!("an answer with status {status} makes no sense here")),
    }
}

/// The fault that the lack of an answer means. Every one of them may pass.
pub(super) fn unsent(error: &TransportError) -> Fault {
    Fault::Unreachable(error.to_string())
}

/// Preconditions that this object will never meet (RFC 4791 5.3.2.1, RFC 6638 3.2.4).
fn is_about_object(name: &str) -> bool {
    let scheduling = ["allowed-", "attendee-allowed", "organizer-allowed", "same-organizer", "unique-scheduling"];
    name.starts_with("valid-")
        || name.starts_with("supported-calendar")
        || name.starts_with("max-")
        || name.starts_with("min-")
        || name == "no-uid-conflict"
        || scheduling.iter().any(|start| name.starts_with(start))
}

fn words(reply: &Reply) -> String {
    let status = reply.status;
    let reason = StatusCode::canonical_reason(&status).unwrap_or("");
    match precondition(reply) {
        Some(name) => format!("the server answers {} {reason} ({name})", status.as_u16()),
        None => format!("the server answers {} {reason}", status.as_u16()).trim_end().to_owned(),
    }
}

const FULL: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        let mut headers = HeaderMap::new();
        if body == "pause" {
            headers.insert("retry-after", "120".parse().unwrap());
        }
        Reply {
            url: "https://example.org/".parse().unwrap(),
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn every_status_has_its_fault() {
        use std::mem::discriminant;
        let word = String::new;
        let pause = Some(Duration::from_mins(2));
        let max_size = r#"<error xmlns="DAV:"><max-resource-size xmlns="urn:ietf:params:xml:ns:caldav"/></error>"#;
        let need = r#"<error xmlns="DAV:"><need-privileges/></error>"#;
        let table: &[(u16, &'static str, Aim, Fault)] = &[
            (401, "", Aim::Object, Fault::Unauthorized(word())),
            (403, "", Aim::Object, Fault::Forbidden(word())),
            (403, need, Aim::Object, Fault::Forbidden(word())),
            (403, max_size, Aim::Object, Fault::Refused(word())),
            (404, "", Aim::Object, Fault::Gone),
            (410, "", Aim::Calendar, Fault::CalendarGone),
            (412, "", Aim::Object, Fault::Changed),
            (415, "", Aim::Object, Fault::Refused(word())),
            (413, "", Aim::Object, Fault::Refused(word())),
            (501, "", Aim::Object, Fault::Refused(word())),
            (429, "pause", Aim::Calendar, Fault::Throttled(pause)),
            (429, "", Aim::Calendar, Fault::Throttled(None)),
            (423, "", Aim::Object, Fault::Throttled(None)),
            (503, "pause", Aim::Calendar, Fault::Throttled(pause)),
            (503, "", Aim::Calendar, Fault::Unreachable(word())),
            (500, "", Aim::Object, Fault::Unreachable(word())),
            (502, "<html>", Aim::Object, Fault::Unreachable(word())),
            (504, "", Aim::Calendar, Fault::Unreachable(word())),
            (507, "", Aim::Object, Fault::Throttled(Some(FULL))),
            (302, "", Aim::Calendar, Fault::Unreachable(word())),
            (200, "<html>", Aim::Calendar, Fault::Garbled(word())),
        ];
        let now = Timestamp::UNIX_EPOCH;
        for (status, body, aim, expect) in table {
            let found = fault(&reply(*status, body), *aim, now);
            assert_eq!(discriminant(&found), discriminant(expect), "{status} {body}: {found:?}");
            if let Fault::Throttled(_) = expect {
                assert_eq!(&found, expect, "{status}");
            }
        }
    }

    #[test]
    fn no_fault_is_a_verdict_on_the_credentials_when_the_network_fails() {
        let error = TransportError::TimedOut { host: "example.org".to_owned() };
        assert!(matches!(unsent(&error), Fault::Unreachable(_)));
    }
}
