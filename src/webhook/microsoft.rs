//! Graph's messages (providers.md 5.10): a handshake by which it makes sure that the address is meant, and collections of
//! notifications, several subscriptions in one. Lifecycle notifications come to the same address.
//!
//! The handshake holds no state: it may come again at any time, to another node, before we know that a subscription is made.
//! What it says goes back as plain text that nobody may take for anything else.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{Service, answer, count};
use crate::sync::{Heard, Said};
use crate::vault::Secret;

/// A collection, as far as it is looked at. Members that are not as expected make their entry an unknown one.
#[derive(Deserialize)]
struct Collection {
    value: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    subscription_id: Value,
    #[serde(default)]
    client_state: Value,
    #[serde(default)]
    lifecycle_event: Value,
}

/// The answer to a handshake, if the query of the request is one.
pub fn handshake(query: &str) -> Option<Response<Bytes>> {
    let (_, token) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "validationToken")?;
    let is_sound = !token.is_empty() && token.len() <= LONGEST_TOKEN && !token.contains(char::is_control);
    let mut response = Response::new(Bytes::new());
    if is_sound {
        *response.body_mut() = Bytes::from(token.into_owned());
    } else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Some(response)
}

impl Service {
    /// `/api/webhooks/microsoft`: a collection of notifications. One that is believed counts, whatever stands beside it;
    /// a body that is no collection is refused.
    pub async fn microsoft(&self, body: &[u8]) -> Response<Bytes> {
        let Ok(collection) = serde_json::from_slice::<Collection>(body) else {
            count(Heard::Unknown);
            let mut response = Response::new(Bytes::from_static(b"This is no collection of change notifications."));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return response;
        };
        let mut seen = HashSet::new();
        for entry in &collection.value {
            let (id, state) = (text(&entry.subscription_id), text(&entry.client_state));
            let Some(said) = said(&entry.lifecycle_event) else {
                count(Heard::Unknown);
                continue;
            };
            if !seen.insert((id, state, said)) {
                continue;
            }
            match self.engine.heard(id, &Secret::new(state.as_bytes()), said).await {
                Ok(heard) => count(heard),
                Err(error) => return answer(Err(error.to_string())),
            }
        }
        accepted()
    }
}

/// What an entry says. A kind of message that we don't know is no reason for anything.
fn said(lifecycle: &Value) -> Option<Said> {
    match lifecycle.as_str() {
        None if lifecycle.is_null() => Some(Said::Changed),
        Some("missed") => Some(Said::Changed),
        Some("reauthorizationRequired") => Some(Said::Lapses),
        Some("subscriptionRemoved") => Some(Said::Ended),
        _ => None,
    }
}

fn text(member: &Value) -> &str {
    member.as_str().unwrap_or_default()
}

fn accepted() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Graph's tokens have about a hundred characters.
const LONGEST_TOKEN: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_gets_its_token_back_and_nothing_else() {
        let cases = [
            ("validationToken=Validation%3a+Testing+%c3%a9", Some((200, "Validation: Testing é"))),
            ("a=b&validationToken=x%26y%3Dz", Some((200, "x&y=z"))),
            ("validationToken=%3Cscript%3Ealert(1)%3C%2Fscript%3E", Some((200, "<script>alert(1)</script>"))),
            ("validationToken=", Some((400, ""))),
            ("validationToken=a%0d%0ab", Some((400, ""))),
            ("validationtoken=x", None),
            ("token=x", None),
            ("", None),
        ];
        for (query, expected) in cases {
            let got = handshake(query).map(|response| {
                assert_eq!(response.headers()[CONTENT_TYPE], "text/plain", "{query}");
                (response.status().as_u16(), String::from_utf8(response.into_body().to_vec()).unwrap())
            });
            assert_eq!(got, expected.map(|(status, body)| (status, body.to_owned())), "{query}");
        }
        let long = format!("validationToken={}", "x".repeat(LONGEST_TOKEN + 1));
        assert_eq!(handshake(&long).unwrap().status(), 400);
    }

    #[test]
    fn what_an_entry_says() {
        let of = |text: &str| {
            let collection: Collection = serde_json::from_str(text).unwrap();
            collection.value.iter().map(|entry| said(&entry.lifecycle_event)).collect::<Vec<_>>()
        };
        let text = r#"{"value": [{"changeType": "updated", "subscriptionId": "x", "someday": {}}, {"lifecycleEvent": "missed"},
            {"lifecycleEvent": "reauthorizationRequired"}, {"lifecycleEvent": "subscriptionRemoved"}, {"lifecycleEvent": "someday"}, {"lifecycleEvent": 7}]}"#;
        let expected = [Some(Said::Changed), Some(Said::Changed), Some(Said::Lapses), Some(Said::Ended), None, None];
        assert_eq!(of(text), expected);
    }
}
