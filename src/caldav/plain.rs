//! Plain `WebDAV` below `/dav/files/{user}/` (RFC 4918 9), when `dav.plain_collections` is set: for suites and clients
//! that know nothing of calendars. Locks are not offered, as everywhere here.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LAST_MODIFIED};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::calendar::Transfer;
use crate::calendar::plain::{Carry, File, Node, Plain, PlainError, PlainPath, Tree};
use crate::dav::{self, Depth, Destination, Match, Precondition};
use crate::id::{Etag, UserId};

use super::body::{Body, empty, whole};
use super::copy_move::same_host;
use super::get::{http_date, listing};
use super::path::Path;
use super::put::{done, set_etag};
use super::resource::{Resource, Subject};
use super::{Failure, Request, Service};

impl Service {
    /// Answers a request for a plain file or folder; the methods that all resources share go the common way.
    pub(super) async fn answer_plain(
        &self,
        request: &Request<'_>,
        user: &UserId,
        path: &PlainPath,
    ) -> Result<Response<Body>, Failure> {
        let at = At { plain: self.plain()?, user, path };
        match request.method.as_str() {
            "GET" | "HEAD" => at.get(request).await,
            "PROPFIND" => self.propfind(request).await,
            method => {
                self.check_if(request.headers, &request.path).await?;
                match method {
                    "PUT" => at.put(request).await,
                    "DELETE" => at.delete(request).await,
                    "MKCOL" => at.make_folder(request).await,
                    "COPY" | "MOVE" => at.carry(request).await,
                    "PROPPATCH" => self.proppatch(request).await,
                    _ => Err(Failure::NotAllowed),
                }
            }
        }
    }

    pub(super) fn plain(&self) -> Result<&Arc<Plain>, Failure> {
        self.plain.as_ref().ok_or(Failure::NotFound)
    }

    /// The tag of the plain file at a path.
    pub(super) async fn plain_etag(&self, user: &UserId, path: &PlainPath) -> Result<Option<Etag>, Failure> {
        let tree = self.plain()?.tree(user).await.map_err(Failure::store)?;
        Ok(tree.get(path).and_then(Node::etag))
    }

    /// The plain file or folder, as properties see it.
    pub(super) async fn plain_subject(&self, user: &UserId, path: &PlainPath) -> Result<Subject, Failure> {
        let tree = self.plain()?.tree(user).await.map_err(Failure::store)?;
        Ok(subject(user, path, tree.get(path).ok_or(Failure::NotFound)?))
    }

    /// What stands directly in a folder.
    pub(super) async fn plain_members(&self, user: &UserId, folder: &PlainPath) -> Result<Vec<Subject>, Failure> {
        let tree: Tree = self.plain()?.tree(user).await.map_err(Failure::store)?;
        Ok(tree.members(folder).map(|(path, node)| subject(user, path, node)).collect())
    }
}

fn subject(user: &UserId, path: &PlainPath, node: &Node) -> Subject {
    let dead = node.dead();
    let path = Path::Plain(user.clone(), path.clone());
    Subject { path, resource: Resource::Plain(Arc::new(node.clone())), dead, data: None, schedule_tag: None }
}

struct At<'a> {
    plain: &'a Arc<Plain>,
    user: &'a UserId,
    path: &'a PlainPath,
}

impl At<'_> {
    async fn get(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let tree = self.plain.tree(self.user).await.map_err(Failure::store)?;
        let node = tree.get(self.path).ok_or(Failure::NotFound)?;
        let response = match &node.octets {
            Some(octets) => file(request.headers, node, octets.clone())?,
            None => listing(self.path.names().last().map_or("Files", String::as_str)),
        };
        Ok(if request.method == Method::HEAD { response.map(|_| empty()) } else { response })
    }

    async fn put(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        if request.headers.contains_key(http::header::CONTENT_RANGE) {
            return Err(Failure::Bad("A part of a file can't be stored (Content-Range)."));
        }
        let content_type = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        let file = File { octets: request.body.clone(), content_type };
        let holds = conditions(request.headers)?;
        let created = self.plain.put(self.user, self.path, &file, &holds).await.map_err(failure)?;
        let mut response = done(created);
        let tree = self.plain.tree(self.user).await.map_err(Failure::store)?;
        if let Some(node) = tree.get(self.path).filter(|node| node.octets.as_ref() == Some(&file.octets))
            && let Some(etag) = node.etag()
        {
            set_etag(response.headers_mut(), &etag);
        }
        Ok(response)
    }

    async fn delete(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        if self.path.names().is_empty() {
            return Err(Failure::Forbidden("The uppermost folder stays."));
        }
        let holds = conditions(request.headers)?;
        self.plain.delete(self.user, self.path, &holds).await.map_err(failure)?;
        Ok(done(false))
    }

    async fn make_folder(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        if !request.body.is_empty() {
            return Err(Failure::MediaType("A plain folder is made without a body."));
        }
        match self.plain.make_folder(self.user, self.path).await {
            // RFC 4918 9.3: MKCOL on what exists is 405.
            Err(PlainError::Exists) => Err(Failure::NotAllowed),
            made => made.map(|()| done(true)).map_err(failure),
        }
    }

    async fn carry(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let is_here = |authority: &str| request.authority.as_deref().is_none_or(|own| same_host(own, authority));
        let href = match Destination::read(request.headers, is_here)? {
            Destination::Elsewhere => return Err(Failure::Elsewhere),
            Destination::Here(href) => href,
        };
        let to = match Path::of(&href) {
            Some(Path::Plain(user, to)) if user == *self.user => to,
            _ => return Err(Failure::Conflict("There is no folder at the destination.")),
        };
        let is_move = request.method.as_str() == "MOVE";
        let depth = Depth::read(request.headers)?.unwrap_or(Depth::Infinity);
        let deep = match (is_move, depth) {
            (_, Depth::Infinity) => true,
            (false, Depth::Zero) => false,
            _ => return Err(Failure::Bad("Depth must be infinity, or 0 for COPY.")),
        };
        let carry = Carry {
            kind: if is_move { Transfer::Move } else { Transfer::Copy },
            from: self.path,
            to: &to,
            overwrite: dav::Overwrite::read(request.headers)? == dav::Overwrite::Allowed,
            deep,
        };
        Ok(done(self.plain.carry(self.user, carry).await.map_err(failure)?))
    }
}

fn file(headers: &HeaderMap, node: &Node, octets: bytes::Bytes) -> Result<Response<Body>, Failure> {
    let etag = node.etag();
    let tag = etag.as_ref().map(|etag| etag.0.as_str());
    if Match::if_match(headers)?.is_some_and(|asked| !asked.means(tag)) {
        return Err(Failure::ConditionFailed);
    }
    let known = Match::if_none_match(headers)?.is_some_and(|asked| asked.means(tag));
    let length = octets.len();
    let mut response = Response::new(if known { empty() } else { whole(octets) });
    let fields = response.headers_mut();
    if let Some(etag) = &etag {
        set_etag(fields, etag);
    }
    if let Ok(date) = HeaderValue::from_str(&http_date(node.modified)) {
        fields.insert(LAST_MODIFIED, date);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        // Never shown as a page of this server: what it is says the client, and browsers are told to save it.
        fields.insert(CONTENT_TYPE, content_type(node));
        fields.insert(http::header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    Ok(response)
}

fn content_type(node: &Node) -> HeaderValue {
    let said = node.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok());
    said.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether If-Match and If-None-Match hold for what is there.
fn conditions(headers: &HeaderMap) -> Result<impl Fn(Option<&Etag>) -> bool + Sync + use<>, Failure> {
    let (wanted, unwanted) = (Match::if_match(headers)?, Match::if_none_match(headers)?);
    Ok(move |etag: Option<&Etag>| {
        let tag = etag.map(|etag| etag.0.as_str());
        wanted.as_ref().is_none_or(|wanted| wanted.means(tag))
            && !unwanted.as_ref().is_some_and(|unwanted| unwanted.means(tag))
    })
}

pub(super) fn failure(error: PlainError) -> Failure {
    match error {
        PlainError::NotFound => Failure::NotFound,
        PlainError::ParentMissing => Failure::Conflict("The folder above does not exist."),
        PlainError::Exists | PlainError::IsFolder => Failure::NotAllowed,
        PlainError::Overlap => Failure::Forbidden("Source and destination overlap."),
        PlainError::ConditionFailed => Failure::ConditionFailed,
        PlainError::Full => Precondition::QuotaNotExceeded.into(),
        PlainError::Stale => Failure::Busy,
        PlainError::Store(error) => Failure::store(error),
    }
}
