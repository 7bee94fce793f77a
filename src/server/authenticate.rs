//! Who sent a request: HTTP Basic (RFC 7617) or the session cookie of the pages against `identity`, and only where
//! nobody listens in.
//!
//! A password that came in the clear over a network is not even looked at: it is answered with 403 and words, so that
//! the mistake is seen at set-up and not after months.

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::peer::Origin;
use crate::identity::{AuthError, Users, Who, basic};
use crate::web::session_token;

/// Why nobody is signed in.
#[derive(Debug)]
pub(super) enum SignIn {
    /// No credentials, or wrong ones.
    Needed,
    /// Credentials would come, or came, over plain HTTP.
    Overheard,
    /// Too many failures from there.
    Throttled(Duration),
    /// Too many checks at once.
    Busy,
    /// The store failed.
    Store,
}

/// Checks the credentials of a request. `plain_is_fine` when the administrator said so.
pub(super) async fn sign_in(
    users: &Users,
    headers: &HeaderMap,
    origin: &Origin,
    plain_is_fine: bool,
) -> Result<Who, SignIn> {
    if !origin.private && !plain_is_fine {
        return Err(SignIn::Overheard);
    }
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Err(SignIn::Needed) };
    let login = basic::parse(field.as_bytes()).map_err(|_| SignIn::Needed)?;
    users.authenticate(&login.user, &login.password, origin.address).await.map_err(|error| match error {
        AuthError::Wrong => SignIn::Needed,
        AuthError::Throttled { retry_after } => SignIn::Throttled(retry_after),
        AuthError::Busy => SignIn::Busy,
        AuthError::Store(error) => {
            tracing::error!(%error, "the users can't be read");
            SignIn::Store
        }
    })
}

/// Whose session the request brings, for the pages.
pub(super) async fn session(
    users: &Users,
    headers: &HeaderMap,
    origin: &Origin,
    plain_is_fine: bool,
) -> Result<Who, SignIn> {
    if !origin.private && !plain_is_fine {
        return Err(SignIn::Overheard);
    }
    let token = session_token(headers, origin.https).ok_or(SignIn::Needed)?;
    match users.session(&token).await {
        Ok(who) => who.ok_or(SignIn::Needed),
        Err(error) => {
            tracing::error!(%error, "the sessions can't be read");
            Err(SignIn::Store)
        }
    }
}
