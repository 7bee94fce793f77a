//! expand-property (RFC 3253 3.8): properties, and in place of the hrefs in them the properties of what they name.
//!
//! Only the visitor's own resources are expanded; depth is that of the request, which the XML limits bound, and the
//! number of resources looked at is bounded besides.

use std::future::Future;
use std::pin::Pin;

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use crate::dav::multistatus::Detail;
use crate::dav::name::dav;
use crate::dav::report::{ExpandProperty, Expanded};
use crate::dav::{Element, Href, MultistatusWriter, Precondition};

use super::super::answer::XML;
use super::super::body::{Body, whole};
use super::super::path::Path;
use super::super::property::{Value, live};
use super::super::resource::{Facts, Subject};
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn expand_property(
        &self,
        request: &Request<'_>,
        expand: ExpandProperty,
    ) -> Result<Response<Body>, Failure> {
        let subject = self.subject(&request.path).await?;
        let mut expansion = Expansion { service: self, facts: self.facts(&request.visitor.user), left: MOST };
        let mut writer = MultistatusWriter::new(Detail::Full);
        let mut values = Vec::new();
        for asked in &expand.properties {
            values.push((&asked.name, expansion.value(&subject, asked).await?));
        }
        let mut member = writer.member(&subject.href());
        for (name, value) in &values {
            match value {
                Some(value) => member.found(name, |writer| value.write(writer)),
                None => member.missing(name),
            };
        }
        drop(member);
        let mut response = Response::new(whole(writer.finish(None)));
        *response.status_mut() = StatusCode::MULTI_STATUS;
        response.headers_mut().insert(CONTENT_TYPE, XML);
        Ok(response)
    }
}

struct Expansion<'s> {
    service: &'s Service,
    facts: Facts,
    left: usize,
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Expansion<'_> {
    async fn value(&mut self, subject: &Subject, asked: &Expanded) -> Result<Option<Value>, Failure> {
        let value = live(&asked.name).and_then(|property| property.value(&self.facts, subject));
        match value {
            Some(Value::Hrefs(hrefs)) if !asked.properties.is_empty() => {
                let mut responses = Vec::with_capacity(hrefs.len());
                for href in &hrefs {
                    responses.push(self.response(href, &asked.properties).await?);
                }
                Ok(Some(Value::Elements(responses)))
            }
            value => Ok(value),
        }
    }

    /// A `DAV:response` about what an href names.
    fn response<'a>(&'a mut self, href: &'a Href, asked: &'a [Expanded]) -> Later<'a, Element> {
        Box::pin(async move {
            self.left = self.left.checked_sub(1).ok_or(Precondition::NumberOfMatchesWithinLimits)?;
            let own = |path: &Path| path.user().is_none_or(|user| *user == self.facts.user);
            let subject = match Path::of(href).filter(own) {
                Some(path) => match self.service.subject(&path).await {
                    Err(Failure::NotFound) => None,
                    subject => Some(subject?),
                },
                None => None,
            };
            let named = Element::with_text(dav::HREF, href.as_str());
            let Some(subject) = subject else {
                return Ok(Element::with_children(dav::RESPONSE, [named, status(StatusCode::NOT_FOUND)]));
            };
            let (mut found, mut missing) = (Vec::new(), Vec::new());
            for one in asked {
                match self.value(&subject, one).await? {
                    Some(value) => found.push(value.element(one.name.clone())),
                    None => missing.push(Element::new(one.name.clone())),
                }
            }
            let mut parts = vec![named];
            if !found.is_empty() || missing.is_empty() {
                parts.push(propstat(found, StatusCode::OK));
            }
            if !missing.is_empty() {
                parts.push(propstat(missing, StatusCode::NOT_FOUND));
            }
            Ok(Element::with_children(dav::RESPONSE, parts))
        })
    }
}

fn propstat(properties: Vec<Element>, state: StatusCode) -> Element {
    Element::with_children(dav::PROPSTAT, [Element::with_children(dav::PROP, properties), status(state)])
}

fn status(state: StatusCode) -> Element {
    let reason = state.canonical_reason().unwrap_or_default();
    Element::with_text(dav::STATUS, format!("HTTP/1.1 {} {reason}", state.as_str()))
}

/// Resources looked at for one request.
const MOST: usize = 200;
