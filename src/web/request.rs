//! A request for a page, and what can go wrong with one.
//!
//! Forms are protected twice: the browser says that they come from our own pages (`Sec-Fetch-Site`, else `Origin`), and
//! they carry a token that follows from the session and that no other site can read.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use sha2::{Digest as _, Sha256};

use super::form::Form;
use crate::account::AccountError;
use crate::calendar::{PutError, QueryError, ResolveError};
use crate::id::{BadName, UserId};
use crate::identity::{UserError, Who};
use crate::jobs::JobError;
use crate::sync::{self, SyncError};
use crate::vault::Secret;

/// A request, after the server has looked who sent it.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The segments of its path, decoded.
    pub path: &'a [String],
    /// Its query, as it came.
    pub query: &'a str,
    /// Its header.
    pub headers: &'a HeaderMap,
    /// Its body, read whole.
    pub body: Bytes,
    /// Where it came from.
    pub address: IpAddr,
    /// Whether the person's browser speaks https.
    pub https: bool,
    /// Who is signed in by the session cookie.
    pub who: Option<Who>,
}

/// The cookie that holds a session's token, over plain HTTP.
pub(super) const COOKIE: &str = "lt_session";

/// The same over https. Browsers take this name from this very host and over https alone (RFC 6265bis 4.1.3.2), so neither
/// a neighbour's name nor somebody on the way can put a session of theirs in its place.
pub(super) const HOST_COOKIE: &str = "__Host-lt_session";

/// The name of the session's cookie. Over https no other is believed.
pub(super) fn session_cookie(https: bool) -> &'static str {
    if https { HOST_COOKIE } else { COOKIE }
}

/// The token of a session, if the request brings one.
pub fn session_token(headers: &HeaderMap, https: bool) -> Option<Secret> {
    cookie(headers, session_cookie(https)).map(|text| Secret::new(text.as_bytes()))
}

/// Whether a request that changes something was made by a page of ours: what a browser adds and no page can forge.
/// Programs that say neither of the two are no browsers, and have no cookies that others could use.
pub fn is_from_here(headers: &HeaderMap) -> bool {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = field("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = field("origin") else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == field("host")
}

pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

impl Request<'_> {
    /// The person who is signed in.
    pub(super) fn user(&self) -> Result<&UserId, Trouble> {
        self.who.as_ref().map(|who| &who.user).ok_or(Trouble::SignIn)
    }

    /// What the form sent.
    pub(super) fn form(&self) -> Form {
        Form::parse(&self.body)
    }

    /// What the query says.
    pub(super) fn ask(&self) -> Form {
        Form::parse(self.query.as_bytes())
    }

    /// The token that this session's forms carry.
    pub(super) fn csrf(&self) -> String {
        let Some(token) = session_token(self.headers, self.https) else { return String::new() };
        let digest = Sha256::new().chain_update(b"form of ").chain_update(token.expose()).finalize();
        data_encoding::BASE32_NOPAD.encode(digest.get(..16).unwrap_or_default()).to_ascii_lowercase()
    }

    /// Whether a signed-in person's form is theirs.
    pub(super) fn is_own_form(&self, form: &Form) -> bool {
        let own = Secret::from(self.csrf());
        is_from_here(self.headers) && !own.is_empty() && own == form.secret("csrf")
    }

    /// The message from the page before.
    pub(super) fn flash(&self) -> Option<String> {
        let text = cookie(self.headers, "lt_flash").filter(|text| !text.is_empty())?;
        Some(percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned())
    }

    /// The person's time zone, as their browser or their choice has it.
    pub(super) fn zone_name(&self) -> String {
        let text = cookie(self.headers, "lt_zone").unwrap_or_default();
        percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
    }
}

/// Why a page can't be shown.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody is signed in.
    SignIn,
    /// The form was not one of ours, or is from an earlier session.
    Foreign,
    /// Nothing is there, or it is another person's.
    NotFound,
    /// Only administrators may.
    Forbidden,
    /// It was refused; in words.
    Refused(String),
    /// It passes; told as such.
    Later(String),
    /// A defect of ours.
    Defect(String),
}

impl Trouble {
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn render(error: askama::Error) -> Self {
        Self::Defect(error.to_string())
    }

    pub(super) fn later(error: impl std::fmt::Display) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<BadName> for Trouble {
    fn from(_: BadName) -> Self {
        Self::NotFound
    }
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Overrun(overrun) => Self::Refused(overrun.to_string()),
            QueryError::Store(error) => Self::later(error),
        }
    }
}

impl From<PutError> for Trouble {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Store(error) => Self::later(error),
            PutError::Stale => Self::Later("others are changing the same".to_owned()),
            PutError::NotFound => Self::NotFound,
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<UserError> for Trouble {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Store(error) => Self::later(error),
            UserError::Busy => Self::Later("too much is going on".to_owned()),
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<AccountError> for Trouble {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::later(error),
            AccountError::NotFound => Self::NotFound,
            error => Self::Refused(error.to_string()),
        }
    }
}

impl From<SyncError> for Trouble {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Account(error) => error.into(),
            SyncError::Queue(error) => error.into(),
            error => Self::later(error),
        }
    }
}

impl From<JobError> for Trouble {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Unknown(_) => Self::NotFound,
            JobError::Running(_) => Self::Refused(error.to_string()),
            error => Self::later(error),
        }
    }
}

impl From<sync::ResolveError> for Trouble {
    fn from(error: sync::ResolveError) -> Self {
        match error {
            sync::ResolveError::Calendar(ResolveError::Put(error)) => error.into(),
            sync::ResolveError::Calendar(error) => Self::Refused(error.to_string()),
            sync::ResolveError::Sync(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        let from = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            is_from_here(&headers)
        };
        let host = ("host", "cal.example.org");
        assert!(from(&[host, ("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(!from(&[host, ("sec-fetch-site", "same-site")]));
        assert!(!from(&[host, ("sec-fetch-site", "cross-site"), ("origin", "https://cal.example.org")]));
        assert!(from(&[host, ("origin", "https://cal.example.org")]));
        assert!(!from(&[host, ("origin", "https://evil.example")]));
        assert!(!from(&[host, ("origin", "null")]));
        assert!(from(&[host]));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "a=1; lt_session=abc; b=2".parse().unwrap());
        assert_eq!(session_token(&headers, false).unwrap().expose_str(), Some("abc"));
        assert!(session_token(&headers, true).is_none(), "over https anybody near could have set this one");
        headers.append("cookie", "__Host-lt_session=def".parse().unwrap());
        assert_eq!(session_token(&headers, true).unwrap().expose_str(), Some("def"));
        assert_eq!(session_token(&headers, false).unwrap().expose_str(), Some("abc"));
        assert!(cookie(&headers, "c").is_none());
    }
}
