//! `/api/v1/stream`: server-sent events for pages that stay up to date by themselves.
//!
//! `calendar` says that something in the person's calendars is new, `status` how the accounts fare. Neither says what:
//! whoever listens asks for that. A comment every while keeps the connection from being taken for dead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::connections::account_record;
use super::{Answer, Api, Payload, Problem, Request};
use crate::calendar::{Calendars, Changed};
use crate::clock::Clock;
use crate::id::UserId;
use crate::sync::Engine;

/// One listener.
struct Listener {
    calendars: Arc<Calendars>,
    sync: Arc<Engine>,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    user: UserId,
    changed: Changed,
    told_calendar: String,
    told_status: String,
    _place: [OwnedSemaphorePermit; 2],
}

impl Api {
    pub(super) fn stream(&self, request: &Request<'_>) -> Answer {
        let Some(place) = self.place(&request.who.user) else {
            let words = "Too many pages listen already; please try again.";
            return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30), words));
        };
        let listener = Listener {
            changed: self.parts.calendars.changed(),
            calendars: self.parts.calendars.clone(),
            sync: self.parts.sync.clone(),
            clock: self.parts.clock.clone(),
            stopping: self.stopping.clone(),
            user: request.who.user.clone(),
            told_calendar: String::new(),
            told_status: String::new(),
            _place: place,
        };
        let pieces = unfold(listener, |mut listener| async move {
            let piece = listener.next().await?;
            Some((piece, listener))
        });
        let mut response = Response::new(Payload::Stream(pieces.boxed()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        // nginx holds answers back otherwise.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Ok(response)
    }
}

impl Listener {
    /// What is told next; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        // Not begun anew when others' calendars change: their work must neither be told nor keep the sign of life back.
        let mut quiet = self.clock.sleep(QUIET);
        loop {
            if self.stopping.is_cancelled() {
                return None;
            }
            let news = self.news().await?;
            if !news.is_empty() {
                return Some(news.into());
            }
            let waited = tokio::select! {
                () = self.stopping.cancelled() => return None,
                () = self.changed.wait() => true,
                () = &mut quiet => false,
            };
            if !waited {
                // How the accounts fare is no row of the calendars, so it is looked at now and then.
                let news = self.news().await?;
                return Some(if news.is_empty() { Bytes::from_static(b": still here\n\n") } else { news.into() });
            }
            // What comes in bursts is told once.
            self.clock.sleep(BURST).await;
        }
    }

    async fn news(&mut self) -> Option<String> {
        let mut news = Vec::new();
        let mut state = Vec::new();
        for row in self.calendars.collections(&self.user).await.ok()? {
            let ctag = self.calendars.ctag(&row.id).await.ok()?;
            let color = row.color.as_deref().unwrap_or_default();
            state.push(format!("{} {ctag} {color} {} {:?}", row.id.name, row.display_name, row.mirror));
        }
        let state = state.join("\n");
        if state != self.told_calendar {
            self.told_calendar = state;
            let digest = fingerprint(&self.told_calendar);
            news.push(format!("event: calendar\ndata: {}\n\n", json!({ "state": digest })));
        }
        let status = self.sync.status(Some(&self.user)).await.ok()?;
        let accounts: Vec<_> = status.accounts.iter().map(account_record).collect();
        let status = json!({ "accounts": accounts, "queue": status.queue, "dead": status.dead }).to_string();
        if status != self.told_status {
            news.push(format!("event: status\ndata: {status}\n\n"));
            self.told_status = status;
        }
        Some(news.concat())
    }
}

fn fingerprint(state: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(state.as_bytes());
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

/// Shorter than proxies wait for a sign of life.
const QUIET: Duration = Duration::from_secs(20);
const BURST: Duration = Duration::from_millis(200);
