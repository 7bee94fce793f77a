//! `CalDAV` answers: the DAV tree under `/dav/`, its properties, methods and reports.
//!
//! RFC 4918 classes 1 and 3, RFC 3744 as far as clients ask, RFC 4791, 5397, 5689, 6578, 6638 (as much as a gateway
//! needs), 7240, and Apple's ctag and colours. [`crate::dav`] speaks, this answers. Where to start: [`path`] says what
//! resources there are, [`property`] what they have, [`Service::answer`] what can be done with them.
//!
//! Invariants: what is not the visitor's is answered as what does not exist; every asked property is in exactly one
//! propstat; every failure is a [`Failure`] and no status; listings of any length are made while they are sent.
//! It never touches the store, a provider or the clock's wall time but for stamping free-busy answers.

mod acl;
mod answer;
pub mod body;
pub mod compliance;
mod conditions;
mod copy_move;
mod delete;
mod failure;
mod get;
mod invite;
mod mkcalendar;
pub mod path;
mod plain;
pub mod property;
mod propfind;
mod proppatch;
mod push;
mod put;
mod report;
mod resource;
mod schedule;
mod scope;
mod setting;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use crate::calendar::plain::Plain;
use crate::calendar::{Author, Calendars};
use crate::clock::Clock;
use crate::id::UserId;
use crate::identity::{Scope, Users};
use crate::push::Pushes;

use body::Body;
pub use failure::Failure;
pub use path::Path;
pub use verdict::{NoVerdicts, Verdict, Verdicts};

/// What the DAV field of OPTIONS says (RFC 4918 10.1, 3744 7.2, 4791 5.1, 5689 3.1, 6638 2).
pub const COMPLIANCE: &str =
    "1, 3, access-control, extended-mkcol, calendar-access, calendar-schedule, calendar-auto-schedule, webdav-push";

/// Who asks. They are signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Their name.
    pub user: UserId,
    /// The app password they came with.
    pub device: Option<String>,
    /// What it is good for.
    pub scope: Scope,
}

/// A request for the DAV tree, its body read whole and within bounds.
#[derive(Debug)]
pub struct Request<'a> {
    /// One that the path's kind takes.
    pub method: &'a Method,
    /// The resource.
    pub path: Path,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who asks.
    pub visitor: Visitor,
    /// `host[:port]` in lower case, as the client named this server.
    pub authority: Option<String>,
}

/// What can be set about answering.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a write waits for the provider's verdict.
    pub write_through: Duration,
    /// The part behind the `@` of a user's calendar address when the user name is no mail address.
    pub mail_domain: String,
    /// Hrefs in one multiget.
    pub max_multiget: usize,
    /// Objects with data in one query.
    pub max_query: usize,
    /// How clients reach this server, for URLs that must be whole.
    pub public_url: String,
    /// Changes in one sync answer, if the client names no smaller number.
    pub max_changes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            write_through: Duration::from_secs(2),
            mail_domain: "localhost".to_owned(),
            max_multiget: 1_000,
            max_query: 5_000,
            max_changes: 10_000,
            public_url: "http://127.0.0.1:8008".to_owned(),
        }
    }
}

/// Answers for the DAV tree. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    calendars: Arc<Calendars>,
    verdicts: Arc<dyn Verdicts>,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    plain: Option<Arc<Plain>>,
    users: Option<Arc<Users>>,
    push: Option<Arc<Pushes>>,
    /// What the visitor of this request may see and do.
    scope: Scope,
}

impl Service {
    /// A service over these calendars.
    pub fn new(
        calendars: Arc<Calendars>,
        verdicts: Arc<dyn Verdicts>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Self {
        Self {
            calendars,
            verdicts,
            clock,
            settings: Arc::new(settings),
            plain: None,
            users: None,
            push: None,
            scope: Scope::ALL,
        }
    }

    /// The same, with scheduling between these users.
    #[must_use]
    pub fn with_users(self, users: Arc<Users>) -> Self {
        Self { users: Some(users), ..self }
    }

    /// The same, telling clients of changes by `WebDAV-Push`.
    #[must_use]
    pub fn with_push(self, push: Arc<Pushes>) -> Self {
        Self { push: Some(push), ..self }
    }

    /// The same with plain files below `/dav/files/`.
    #[must_use]
    pub fn with_plain(self, plain: Arc<Plain>) -> Self {
        Self { plain: Some(plain), ..self }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<'_>) -> Result<Response<Body>, Failure> {
        if request.path.user().is_some_and(|owner| *owner != request.visitor.user) {
            return Err(Failure::NotFound);
        }
        if let Some(limited) = self.limited(&request.visitor.scope) {
            limited.admit(&request)?;
            return Box::pin(limited.dispatch(request)).await;
        }
        self.dispatch(request).await
    }

    async fn dispatch(&self, request: Request<'_>) -> Result<Response<Body>, Failure> {
        // RFC 4918 8.4: what would be passed over is refused.
        if !request.body.is_empty() && BODILESS.contains(&request.method.as_str()) {
            return Err(Failure::MediaType("This method takes no body."));
        }
        // RFC 4918 10.4: the header makes any method conditional, those that only read as well.
        Box::pin(self.check_if(request.headers, &request.path)).await?;
        if let Path::Plain(user, path) = &request.path {
            return Box::pin(self.answer_plain(&request, user, path)).await;
        }
        let quiet = self.quiet(&request).await?;
        let answer = self.answer_for(&request).await;
        if let Some(quiet) = quiet.filter(|_| answer.is_ok()) {
            quiet.keep().await;
        }
        answer
    }

    // Boxed one by one: as parts of one future each would make room for the largest, and that be copied with every
    // request, whatever it asks.
    async fn answer_for(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        match request.method.as_str() {
            "GET" | "HEAD" => Box::pin(self.get(request)).await,
            "PUT" => Box::pin(self.put(request)).await,
            "DELETE" => Box::pin(self.delete(request)).await,
            "COPY" | "MOVE" => Box::pin(self.copy_or_move(request)).await,
            "PROPFIND" => Box::pin(self.propfind(request)).await,
            "PROPPATCH" => Box::pin(self.proppatch(request)).await,
            "MKCALENDAR" => Box::pin(self.mkcalendar(request)).await,
            "MKCOL" => Box::pin(self.mkcol(request)).await,
            "REPORT" => Box::pin(self.report(request)).await,
            "POST" => Box::pin(self.post(request)).await,
            "ACL" => Box::pin(self.acl(request)).await,
            _ => Err(Failure::NotAllowed),
        }
    }
}

/// The methods that define no body.
const BODILESS: [&str; 5] = ["GET", "HEAD", "DELETE", "COPY", "MOVE"];

impl Visitor {
    fn author(&self) -> Author {
        Author::Client { user: self.user.clone(), device: self.device.clone() }
    }
}
