//! What a device may see and do that came in with a limited app password ([`Scope`]).
//!
//! One that is limited to a calendar finds its way to that calendar, and nothing beside it: the others are answered as
//! what does not exist. One that may only read is told so by the privileges of everything, as clients ask for it, and
//! by `DAV:need-privileges` when it writes all the same (RFC 3744 7.1.1).

use http::Method;

use crate::dav::Precondition;
use crate::dav::name::dav;
use crate::identity::Scope;

use super::path::Path;
use super::{Failure, Request, Service};

impl Service {
    /// The service for a visitor whose scope is limited; `None` for all others.
    pub(super) fn limited(&self, scope: &Scope) -> Option<Self> {
        (!scope.is_all()).then(|| Self { scope: scope.clone(), ..self.clone() })
    }

    /// Refuses what is out of scope.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<(), Failure> {
        if !self.sees(&request.path) {
            return Err(Failure::NotFound);
        }
        let writes = !matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS)
            && !matches!(request.method.as_str(), "PROPFIND" | "REPORT");
        // To be told of changes is reading, too.
        let subscribes = matches!(request.path, Path::Registration(..))
            || *request.method == Method::POST && matches!(request.path, Path::Calendar(_));
        if writes && !subscribes && !self.may_write(request.method, &request.path) {
            return Err(Precondition::NeedPrivileges(vec![(request.path.href(), dav::WRITE)]).into());
        }
        Ok(())
    }

    /// Whether a resource is one that this scope knows of.
    pub(super) fn sees(&self, path: &Path) -> bool {
        let Some(name) = &self.scope.collection else { return true };
        match path {
            Path::Root
            | Path::Principals
            | Path::Principal(_)
            | Path::Homes
            | Path::Home(_)
            | Path::Registration(..) => true,
            Path::Calendar(id) => id.name == *name,
            Path::Object(place) => place.collection.name == *name,
            Path::Inbox(_) | Path::Outbox(_) | Path::Message(..) | Path::Plain(..) => false,
        }
    }

    fn may_write(&self, method: &Method, path: &Path) -> bool {
        if self.scope.read_only {
            return false;
        }
        // The calendar itself stays: its password is for what is in it.
        let inside = matches!(path, Path::Object(_)) || matches!(path, Path::Calendar(_)) && *method != Method::DELETE;
        self.scope.collection.is_none() || inside
    }
}
