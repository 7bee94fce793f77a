//! Delivery: whoever does not know of a change is sent a message; who can't be reached any more is forgotten.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use tokio::sync::watch;
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, WebPushBuilder};

use super::message::document;
use super::subscription::{News, Row, RowKey, SUBSCRIPTIONS, WebPush};
use super::{PushError, Pushes};
use crate::id::CollectionId;
use crate::store::tables;
use crate::transport::SendRules;

/// What a round of deliveries did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Messages that push services took.
    pub sent: usize,
    /// Subscriptions that are over.
    pub ended: usize,
    /// Messages that could not be brought now; the next round tries again.
    pub failed: usize,
}

impl Pushes {
    /// Delivers until `stop`: a moment after each change, so that many changes become one message.
    pub async fn work(&self, mut stop: watch::Receiver<bool>) {
        let wake = |table| self.parts.store.changed(table);
        let (mut content, mut rows, mut dead) =
            (wake(tables::CHANGE), wake(tables::COLLECTION), wake(tables::DEAD_PROPERTY));
        let mut pause = FIRST;
        loop {
            let gather = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = content.wait() => GATHER,
                () = rows.wait() => GATHER,
                () = dead.wait() => GATHER,
                () = self.parts.clock.sleep(pause) => Duration::ZERO,
            };
            self.parts.clock.sleep(gather).await;
            let round = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                round = self.round() => round,
            };
            pause = match round {
                Ok(Round { failed: 0, .. }) => IDLE,
                Ok(_) => AGAIN,
                Err(error) => {
                    tracing::warn!(%error, "clients could not be told of changes");
                    AGAIN
                }
            };
        }
    }

    /// Tells everybody who does not know yet.
    pub async fn round(&self) -> Result<Round, PushError> {
        let now = self.parts.clock.now().as_second();
        let mut round = Round::default();
        for (key, row) in SUBSCRIPTIONS.scan(&*self.parts.store, SUBSCRIPTIONS.all(), usize::MAX).await? {
            let collection = CollectionId::new(&key.0, key.1.clone());
            let gone = self.parts.calendars.collection(&collection).await?.is_none();
            if gone || row.expires <= now {
                self.forget(&key).await?;
                round.ended += 1;
                continue;
            }
            let token = self.parts.calendars.token(&collection).await?.to_string();
            let traits = self.traits(&collection).await?;
            let news = News {
                token: (row.trigger.content && token != row.token).then(|| token.clone()),
                traits: row.trigger.properties && traits != row.traits,
            };
            if news != News::default() {
                let known = Row { token, traits, ..row.clone() };
                self.deliver(&key, (&row, &known), &news, &mut round).await?;
            }
        }
        Ok(round)
    }

    async fn deliver(
        &self,
        key: &RowKey,
        (old, new): (&Row, &Row),
        news: &News,
        round: &mut Round,
    ) -> Result<(), PushError> {
        let topic = self.topic(&CollectionId::new(&key.0, key.1.clone()));
        let request = self.open_row(key, old).and_then(|to| self.request(&to, &document(&topic, news)));
        let Ok(request) = request else {
            // It will never work; the client registers again.
            round.ended += 1;
            return self.forget(key).await;
        };
        let rules = SendRules { total: PATIENCE, max_body: MAX_ANSWER };
        match self.parts.transport.send(request, &rules).await.map(|answer| answer.status().as_u16()) {
            Ok(200..=299) => {
                round.sent += 1;
                self.told(key, old, new).await
            }
            // RFC 8030 7.3: the subscription is over.
            Ok(404 | 410) => {
                round.ended += 1;
                self.forget(key).await
            }
            Ok(status) => {
                tracing::info!(status, "a push service did not take a message");
                round.failed += 1;
                Ok(())
            }
            Err(error) => {
                tracing::info!(%error, "a push service could not be reached");
                round.failed += 1;
                Ok(())
            }
        }
    }

    /// A message, encrypted and signed (RFC 8030 5, 8291, 8292).
    fn request(&self, to: &WebPush, message: &Bytes) -> Result<Request<Bytes>, PushError> {
        let endpoint: Uri = to.resource.parse().map_err(|_| PushError::Invalid)?;
        let key = PublicKey::from_sec1_bytes(&to.public_key).map_err(|_| PushError::Invalid)?;
        let auth = Auth::from_exact_iter(to.auth.iter().copied()).ok_or(PushError::Invalid)?;
        let builder = WebPushBuilder::new(endpoint.clone(), key, auth).with_valid_duration(TTL);
        let mut request = builder.build(message.to_vec()).map_err(|_| PushError::Invalid)?.map(Bytes::from);
        let signed = self.vapid.authorization(&endpoint, &self.contact, self.parts.clock.now());
        let mut signed = HeaderValue::try_from(signed).map_err(|_| PushError::Invalid)?;
        signed.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, signed);
        request.headers_mut().insert(CONTENT_TYPE, XML);
        Ok(request)
    }
}

const XML: HeaderValue = HeaderValue::from_static("application/xml; charset=\"UTF-8\"");
/// How long a push service keeps a message for a device that is off.
const TTL: Duration = Duration::from_hours(24);
/// A start has better things to do.
const FIRST: Duration = Duration::from_secs(10);
/// Changes that come together are told together.
const GATHER: Duration = Duration::from_secs(1);
/// After a failure.
const AGAIN: Duration = Duration::from_mins(1);
/// When nothing happens: time to look for what has expired.
const IDLE: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 << 10;
