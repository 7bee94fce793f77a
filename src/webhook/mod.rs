//! Notifications from providers: hints that a calendar has changed, and nothing more.
//!
//! A message is believed when its channel is known and its token is right; then the calendar is read soon, once for all
//! messages of a short while, or the channel is looked after. What a message says beyond that is not looked at. An unknown
//! channel is answered like a known one, so that nobody can find out which there are, and the provider does not try again.
//! Never here: what has changed, or waiting for it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::sync::{Engine, Heard, Said};
use crate::vault::Secret;

mod microsoft;

pub use microsoft::handshake;

/// The most octets of a message with a body.
pub const LARGEST: usize = 256 << 10;

/// Answers the addresses that providers post to.
#[derive(Debug)]
pub struct Service {
    engine: Arc<Engine>,
}

impl Service {
    /// Notifications for this engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// `/api/webhooks/google`: all is in the header.
    pub async fn google(&self, headers: &HeaderMap) -> Response<Bytes> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = Secret::new(text("x-goog-channel-token").as_bytes());
        // The first message of a channel says that it is open, not that something has changed.
        let said = if text("x-goog-resource-state") == "sync" { Said::Opened } else { Said::Changed };
        let heard = self.engine.heard(text("x-goog-channel-id"), &token, said).await;
        answer(heard.map_err(|error| error.to_string()))
    }
}

/// Answered at once and alike, whatever came of it. Only a store that fails is told: the provider tries again then.
fn answer(heard: Result<Heard, String>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = match heard {
        Ok(heard) => {
            count(heard);
            StatusCode::ACCEPTED
        }
        Err(error) => {
            tracing::warn!(error, "a notification could not be taken");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    response
}

fn count(heard: Heard) {
    metrics::counter!("lineartime_notifications_total", "heard" => heard.as_str()).increment(1);
}
