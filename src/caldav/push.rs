//! `WebDAV-Push` as clients see it: registration by POST to a calendar, its end by DELETE, and who must not be told.
//!
//! bitfireAT's draft, as `DAVx5` speaks it. Triggers are taken as far as they are supported: content at sync-level 1, the
//! calendar's own properties at depth 0; what asks for more is taken as that.

use http::header::{EXPIRES, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::dav::name::ns::{DAV, PUSH};
use crate::dav::{Attribute, Element, Href, Limits, Malformed, Precondition, QName};
use crate::id::CollectionId;
use crate::push::{PushError, Pushes, Trigger, WebPush};

use super::body::{Body, empty};
use super::get::http_date;
use super::path::Path;
use super::{Failure, Request, Service};

impl Service {
    /// Registers a subscription, or renews it.
    pub(super) async fn push_register(
        &self,
        request: &Request<'_>,
        id: &CollectionId,
    ) -> Result<Response<Body>, Failure> {
        let pushes = self.push.as_ref().ok_or(Precondition::PushNotAvailable)?;
        let asked = Asked::read(&request.body)?;
        self.collection(id).await?;
        let kept = pushes.register(id, &asked.to, asked.trigger, asked.until).await.map_err(failure)?;
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let url = Path::Registration(id.clone(), kept.id).href();
        if let Ok(url) = HeaderValue::from_str(&self.absolute(&url)) {
            response.headers_mut().insert(LOCATION, url);
        }
        if let Ok(date) = HeaderValue::from_str(&http_date(kept.expires)) {
            response.headers_mut().insert(EXPIRES, date);
        }
        Ok(response)
    }

    /// Ends a subscription.
    pub(super) async fn push_unregister(&self, id: &CollectionId, name: &str) -> Result<Response<Body>, Failure> {
        let pushes = self.push.as_ref().ok_or(Failure::NotFound)?;
        if !pushes.unregister(id, name).await.map_err(failure)? {
            return Err(Failure::NotFound);
        }
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// What the client knows that writes and does not want to be told of it (`Push-Dont-Notify`); taken before the
    /// write.
    pub(super) async fn quiet(&self, request: &Request<'_>) -> Result<Option<Quiet>, Failure> {
        let (Some(pushes), Some(whom)) = (&self.push, Whom::read(request.headers)) else { return Ok(None) };
        let collection = match &request.path {
            Path::Object(place) => place.collection.clone(),
            Path::Calendar(id) => id.clone(),
            _ => return Ok(None),
        };
        let before = self.calendars.token(&collection).await.map_err(Failure::store)?.to_string();
        Ok(Some(Quiet { pushes: pushes.clone(), collection, whom, before }))
    }

    fn absolute(&self, href: &Href) -> String {
        format!("{}{}", self.settings.public_url.trim_end_matches('/'), href.as_str())
    }
}

/// Who must not be told of a write.
pub(super) struct Quiet {
    pushes: std::sync::Arc<Pushes>,
    collection: CollectionId,
    whom: Whom,
    before: String,
}

impl Quiet {
    /// After the write. If it fails, they are told for nothing.
    pub(super) async fn keep(self) {
        if let Err(error) = self.pushes.knows(&self.collection, self.whom.ids(), &self.before).await {
            tracing::info!(%error, "a client will be told of its own change");
        }
    }
}

/// The property `transports`.
pub(super) fn transports(pushes: &Pushes) -> Vec<Element> {
    let mut key = Element::with_text(name("vapid-public-key"), pushes.public_key());
    // A new element has no attribute that this one could meet.
    let _new = key.push_attribute(Attribute { name: QName::fixed("", "type"), value: "p256ecdsa".to_owned() });
    vec![Element::with_children(name("web-push"), [key])]
}

/// The property `supported-triggers`.
pub(super) fn triggers() -> Vec<Element> {
    let one = |trigger, limit, value| {
        Element::with_children(name(trigger), [Element::with_text(QName::fixed(DAV, limit), value)])
    };
    vec![one("content-update", "sync-level", "1"), one("property-update", "depth", "0")]
}

/// What a `push-register` asks.
struct Asked {
    to: WebPush,
    trigger: Trigger,
    until: Option<Timestamp>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Failure> {
        let root = Element::parse(body, Limits::REQUEST).map_err(Malformed::from)?;
        if !root.is(&name("push-register")) {
            return Err(Failure::Bad("A POST to a calendar is a push-register of WebDAV-Push."));
        }
        let child = |of: &Element, local| of.child(&name(local)).cloned();
        let web_push = child(&root, "subscription").and_then(|one| child(&one, "web-push-subscription"));
        let web_push = web_push.ok_or(Precondition::InvalidSubscription)?;
        let text = |local| web_push.child(&name(local)).map(Element::trimmed).unwrap_or_default();
        // An earlier draft called the key otherwise.
        let key = Some(text("client-public-key")).filter(|key| !key.is_empty());
        let key = key.unwrap_or_else(|| text("subscription-public-key"));
        let to = WebPush::new(&text("push-resource"), &key, &text("auth-secret")).map_err(failure)?;
        let wanted = child(&root, "trigger");
        let has = |local| wanted.as_ref().is_some_and(|one| one.child(&name(local)).is_some());
        let trigger = Trigger { content: has("content-update"), properties: has("property-update") };
        if !trigger.content && !trigger.properties {
            return Err(Precondition::NoSupportedTrigger.into());
        }
        let until = match root.child(&name("expires")).map(Element::trimmed) {
            Some(date) => Some(
                DateTimeParser::new()
                    .relaxed_weekday(true)
                    .parse_timestamp(&date)
                    .map_err(|_| Failure::Bad("The date in expires can't be read (RFC 9110 5.6.7)."))?,
            ),
            None => None,
        };
        Ok(Self { to, trigger, until })
    }
}

/// The registrations that `Push-Dont-Notify` names.
enum Whom {
    Everybody,
    These(Vec<String>),
}

impl Whom {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("push-dont-notify")?.to_str().ok()?.trim();
        if text == "*" {
            return Some(Self::Everybody);
        }
        let urls = text.split(',').map(|url| url.trim().trim_matches(['"', '<', '>']));
        let ids = urls.filter_map(|url| match Href::parse(url).ok().and_then(|href| Path::of(&href)) {
            Some(Path::Registration(_, id)) => Some(id),
            _ => None,
        });
        Some(Self::These(ids.collect()))
    }

    /// None for all.
    fn ids(&self) -> Option<&[String]> {
        match self {
            Self::Everybody => None,
            Self::These(ids) => Some(ids),
        }
    }
}

fn failure(error: PushError) -> Failure {
    match error {
        PushError::Invalid => Precondition::InvalidSubscription.into(),
        PushError::TooMany => Precondition::PushNotAvailable.into(),
        PushError::Store(error) => Failure::store(error),
        PushError::Vault(error) => Failure::store(error),
    }
}

fn name(local: &'static str) -> QName {
    QName::fixed(PUSH, local)
}
