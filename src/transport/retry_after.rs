//! The `Retry-After` header (RFC 9110 10.2.3): seconds or a date, kept within reason.
//!
//! Invariant: what comes out lies between one second and one hour, whatever came in; text that is neither
//! form is as good as no header.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The pause that `headers` ask for, at `now`.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    parse(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// The pause that the header value `text` asks for, at `now`.
pub fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let pause = if text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with('-') {
        seconds(text)?
    } else {
        let date = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
        Duration::try_from(date.duration_since(now)).unwrap_or(SHORTEST)
    };
    Some(pause.clamp(SHORTEST, LONGEST))
}

fn seconds(text: &str) -> Option<Duration> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    // Some servers send fractions.
    let whole = digits.split('.').next().unwrap_or(digits);
    if whole.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // More digits than a u64 holds is still "very long".
    Some(if negative { SHORTEST } else { Duration::from_secs(whole.parse().unwrap_or(u64::MAX)) })
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_bounded() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let table = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("-1", Some(1)),
            ("1.5", Some(1)),
            ("1000000000", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Sun, 22 Nov 2026 12:05:00 GMT", Some(300)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(1)),
            ("Mon, 22 Nov 2027 12:05:00 GMT", Some(3600)),
            ("soon", None),
            ("12 minutes", None),
            ("", None),
        ];
        for (text, expect) in table {
            assert_eq!(parse(text, now), expect.map(Duration::from_secs), "{text:?}");
        }
    }
}
