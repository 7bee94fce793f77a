//! Getting the file: which address, which conditions (RFC 9110 13), how far redirects are followed.
//!
//! Invariant: every hop goes through the transport and so through its guard; a name and password go to the origin that
//! they were given for and to no other; no answer is larger or slower than its bounds.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::super::Fault;
use super::super::caldav::Means;
use crate::transport::retry_after::retry_after;
use crate::transport::{SendRules, TransportError};

/// By what the next request asks whether anything has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    etag: Option<String>,
    modified: Option<String>,
    /// Of the octets: servers that know neither of the two send the same file every time.
    pub(super) body: Option<[u8; 32]>,
}

pub(super) enum Answer {
    Same,
    Body { octets: Bytes, validators: Validators },
}

/// The addresses that a person may mean, best first. `webcal` says nothing of encryption, so that is tried first.
pub fn candidates(text: &str) -> Vec<Url> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("webcal", text));
    let schemes: &[&str] = match scheme.to_ascii_lowercase().as_str() {
        "webcal" => &["https", "http"],
        "https" | "webcals" => &["https"],
        "http" => &["http"],
        _ => &[],
    };
    let urls = schemes.iter().filter_map(|scheme| Url::parse(&format!("{scheme}://{rest}")).ok());
    urls.filter(Url::has_host).map(without_fragment).collect()
}

/// The file at `url`, unless it is still the one that `known` tells of.
pub(super) async fn get(url: &Url, known: Option<&Validators>, means: &Means) -> Result<Answer, Fault> {
    let login = login(url);
    let mut at = bare(url.clone());
    let origin = at.origin();
    for _hop in 0..=REDIRECTS {
        let credentials = login.as_ref().filter(|_| at.origin() == origin);
        let request = request(&at, known, credentials)?;
        let rules = SendRules { total: PATIENCE, ..SendRules::default() };
        let reply = means.transport.send(request, &rules).await.map_err(|error| unsent(&error))?;
        match reply.status().as_u16() {
            304 if known.is_some() => return Ok(Answer::Same),
            301 | 302 | 303 | 307 | 308 => at = next(&at, reply.headers())?,
            200 => return Ok(body(reply)),
            429 | 503 => return Err(pause(&reply, means)),
            status => return Err(Fault::Unreachable(told(status))),
        }
    }
    Err(Fault::Unreachable("the address of the feed leads from one to the next without end".to_owned()))
}

fn request(at: &Url, known: Option<&Validators>, login: Option<&HeaderValue>) -> Result<Request<Bytes>, Fault> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = at.as_str().parse().map_err(|_| Fault::Unreachable("the address is not valid".to_owned()))?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("text/calendar, */*;q=0.5"));
    let mut condition = |name: HeaderName, value: Option<&String>| {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    };
    condition(IF_NONE_MATCH, known.and_then(|known| known.etag.as_ref()));
    condition(IF_MODIFIED_SINCE, known.and_then(|known| known.modified.as_ref()));
    if let Some(login) = login {
        headers.insert(AUTHORIZATION, login.clone());
    }
    Ok(request)
}

fn body(reply: Response<Bytes>) -> Answer {
    let text =
        |name: HeaderName| reply.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let (etag, modified) = (text(ETAG), text(LAST_MODIFIED));
    let octets = reply.into_body();
    let body = Some(Sha256::digest(&octets).into());
    Answer::Body { octets, validators: Validators { etag, modified, body } }
}

/// Where a redirect leads. Never from https to http: what is read would be anybody's on the way.
fn next(at: &Url, headers: &HeaderMap) -> Result<Url, Fault> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|text| at.join(text).ok()).map(|url| bare(without_fragment(url)));
    let next = next.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let next = next.ok_or_else(|| Fault::Unreachable("the address of the feed leads nowhere".to_owned()))?;
    if at.scheme() == "https" && next.scheme() == "http" {
        let host = next.host_str().unwrap_or_default();
        return Err(Fault::Unreachable(format!("the feed leads to {host} without encryption, which is not followed")));
    }
    Ok(next)
}

fn pause(reply: &Response<Bytes>, means: &Means) -> Fault {
    match retry_after(reply.headers(), means.clock.now()) {
        None if reply.status().as_u16() == 503 => Fault::Unreachable(told(503)),
        pause => Fault::Throttled(pause),
    }
}

fn told(status: u16) -> String {
    match status {
        401 | 403 => format!("the server does not give out the feed (status {status}); its address may be out of date"),
        404 | 410 => format!("there is no feed at this address (status {status})"),
        _ => format!("the server of the feed answers with status {status}"),
    }
}

fn unsent(error: &TransportError) -> Fault {
    Fault::Unreachable(error.to_string())
}

/// The `Authorization` of an address that holds a name and a password.
fn login(url: &Url) -> Option<HeaderValue> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = Zeroizing::new(url.password().map(decoded).unwrap_or_default());
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let pair = Zeroizing::new(format!("{}:{}", decoded(url.username()), password.as_str()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bare(mut url: Url) -> Url {
    // These fail on URLs without a host alone.
    let _no_host = url.set_username("").is_err() || url.set_password(None).is_err();
    url
}

fn without_fragment(mut url: Url) -> Url {
    url.set_fragment(None);
    url
}

/// A feed that takes longer is not coming.
const PATIENCE: Duration = Duration::from_mins(1);
const REDIRECTS: usize = 5;
