//! ACL (RFC 3744 8.1): refused by name.
//!
//! Who may do what follows from the accounts and the app passwords, so nobody has the right to change it here. The
//! answer says just that, as section 8.1.1 wants it: `DAV:need-privileges`, and that `DAV:write-acl` is missing.

use http::Response;

use crate::dav::name::dav;
use crate::dav::{Element, Malformed, Precondition, xml::Limits};

use super::body::Body;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn acl(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let subject = self.subject(&request.path).await?;
        let body = Element::parse(&request.body, Limits::REQUEST).map_err(Malformed::from)?;
        if !body.is(&dav::ACL) {
            return Err(Malformed::Unexpected("the body of ACL is DAV:acl").into());
        }
        Err(Precondition::NeedPrivileges(vec![(subject.href(), dav::WRITE_ACL)]).into())
    }
}
