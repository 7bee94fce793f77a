//! GET and HEAD: an object's octets, and a line for people who open a collection in a browser.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use http::{Method, Response, StatusCode};

use crate::calendar::{Message, Stored};
use crate::dav::{Match, writer};
use crate::ical::ComponentKind;

use super::body::{Body, empty, whole};
use super::invite::set_schedule_tag;
use super::path::Path;
use super::put::set_etag;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn get(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let response = match &request.path {
            Path::Object(place) => {
                let stored = self.calendars.get(place).await.map_err(Failure::store)?;
                let mut response = object(request, &stored.ok_or(Failure::NotFound)?)?;
                set_schedule_tag(response.headers_mut(), self.schedule_tag_at(place).await?);
                response
            }
            Path::Message(user, name) => {
                let message = self.calendars.inbox_message(user, name).await.map_err(Failure::store)?;
                message_body(&message.ok_or(Failure::NotFound)?)
            }
            Path::Calendar(id) => {
                let row = self.calendars.collection(id).await.map_err(Failure::store)?.ok_or(Failure::NotFound)?;
                listing(&row.display_name)
            }
            _ => listing("LinearTime"),
        };
        Ok(if request.method == Method::HEAD { without_body(response) } else { response })
    }
}

fn object(request: &Request<'_>, stored: &Stored) -> Result<Response<Body>, Failure> {
    let etag = stored.etag.0.as_str();
    if Match::if_match(request.headers)?.is_some_and(|asked| !asked.means(Some(etag))) {
        return Err(Failure::ConditionFailed);
    }
    let known = Match::if_none_match(request.headers)?.is_some_and(|asked| asked.means(Some(etag)));
    let mut response = Response::new(if known { empty() } else { whole(stored.octets.clone()) });
    let headers = response.headers_mut();
    set_etag(headers, &stored.etag);
    if let Ok(date) = HeaderValue::from_str(&http_date(stored.modified)) {
        headers.insert(LAST_MODIFIED, date);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(stored.component)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(stored.octets.len()));
    }
    Ok(response)
}

fn message_body(message: &Message) -> Response<Body> {
    let mut response = Response::new(whole(message.octets.clone()));
    let headers = response.headers_mut();
    set_etag(headers, &message.etag());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(message.kind)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(message.octets.len()));
    response
}

/// What an object of this kind is sent as.
pub(super) fn content_type(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Event => "text/calendar; charset=utf-8; component=VEVENT",
        ComponentKind::Todo => "text/calendar; charset=utf-8; component=VTODO",
        ComponentKind::Journal => "text/calendar; charset=utf-8; component=VJOURNAL",
        ComponentKind::FreeBusy | ComponentKind::Other => "text/calendar; charset=utf-8",
    }
}

/// A date as HTTP writes it (RFC 9110 5.6.7).
pub(super) fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

pub(super) fn listing(name: &str) -> Response<Body> {
    let name = writer::escaped(name);
    let name = String::from_utf8_lossy(&name);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><h1>{name}</h1>\
         <p>This is a CalDAV collection: open its address in a calendar program.</p></html>\n"
    );
    let length = page.len();
    let mut response = Response::new(whole(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| empty())
}
