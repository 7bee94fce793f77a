//! Signing in at a company's own service: the browser goes there and comes back, and who is signed in may connect theirs.
//!
//! It begins by a link and not by a form, because the policy of the pages lets no form lead elsewhere, not even by a
//! redirect. What was begun is bound to a cookie of its own.

use askama::Template;
use http::StatusCode;
use http::header::{HeaderValue, SET_COOKIE};

use super::Pages;
use super::front;
use super::page::{Answer, Page, done, go};
use super::request::{Request, Trouble, cookie, is_from_here};
use super::session::{agent, inside, remember};
use crate::entropy;
use crate::id::UserId;
use crate::identity::oidc::{NewSignIn, Oidc, OidcError};
use crate::vault::Secret;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<div class="narrow"><h1>Connect {{ name }}</h1>
<p>Sign in there as yourself. From then on whoever signs in there as you is {{ user }} here.</p>
<p><a class="button main" href="{{ link }}">Go on to {{ name }}</a></p><p><a href="/me">Leave it</a></p></div>"#
)]
struct GoOn<'a> {
    name: &'a str,
    user: &'a str,
    link: &'a str,
}

impl Pages {
    /// The service's name and where signing in there begins, for the sign-in page.
    pub(super) fn oidc_link(&self, to: &str) -> Option<(&str, String)> {
        let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let link = if to.is_empty() { START.to_owned() } else { format!("{START}?to={to}") };
        self.oidc.as_ref().map(|oidc| (oidc.name(), link))
    }

    /// Sends the browser to the service.
    pub(super) async fn oidc_start(&self, request: &Request<'_>) -> Answer {
        let oidc = self.oidc.as_ref().ok_or(Trouble::NotFound)?;
        if !is_from_here(request.headers) {
            return Err(Trouble::Foreign);
        }
        let ask = request.ask();
        match self.oidc_begin(oidc, request, inside(ask.get("to")), None).await {
            Ok((link, cookie)) => {
                let mut response = go(&link, "", "")?;
                response.headers_mut().append(SET_COOKIE, cookie);
                Ok(response)
            }
            Err(error) => refused(request, error),
        }
    }

    /// A page that leads a signed-in person to the service, to be known by it from then on.
    pub(super) async fn oidc_connect(&self, request: &Request<'_>) -> Answer {
        let oidc = self.oidc.as_ref().ok_or(Trouble::NotFound)?;
        let user = request.user()?;
        match self.oidc_begin(oidc, request, "/me", Some(user)).await {
            Ok((link, cookie)) => {
                let content = GoOn { name: oidc.name(), user: user.as_str(), link: &link };
                let mut response =
                    Page { title: "Connect", here: "/me", content: &content }.answer(request, StatusCode::OK)?;
                response.headers_mut().append(SET_COOKIE, cookie);
                Ok(response)
            }
            Err(error) => refused(request, error),
        }
    }

    async fn oidc_begin(
        &self,
        oidc: &Oidc,
        request: &Request<'_>,
        to: &str,
        connect: Option<&UserId>,
    ) -> Result<(String, HeaderValue), OidcError> {
        let browser = Secret::from(entropy::token(&*self.entropy, 32));
        let new = NewSignIn { browser: &browser, address: request.address, to, connect };
        let link = oidc.begin(new).await?;
        let secure = if request.https { "; Secure" } else { "" };
        let (name, value) = (own_cookie(request.https), browser.expose_str().unwrap_or_default());
        let cookie = format!("{name}={value}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax{secure}");
        let cookie = HeaderValue::from_str(&cookie).map_err(|_| OidcError::Unknown)?;
        Ok((link.into(), cookie))
    }

    /// Takes what the service has sent the browser back with, and begins a session.
    pub(super) async fn oidc_callback(&self, request: &Request<'_>) -> Answer {
        let oidc = self.oidc.as_ref().ok_or(Trouble::NotFound)?;
        let browser = cookie(request.headers, own_cookie(request.https)).map(|text| Secret::new(text.as_bytes()));
        let present = request.who.as_ref().map(|who| &who.user);
        let signed_in = match oidc.finish(request.query, browser.as_ref(), present).await {
            Ok(signed_in) => signed_in,
            Err(error) => return refused(request, error),
        };
        if signed_in.connected {
            return done("/me", &format!("You can sign in with {} from now on.", oidc.name()));
        }
        let token = self.users.session_begin(&signed_in.user, agent(request)).await?;
        let mut response = go(if signed_in.to.is_empty() { "/" } else { &signed_in.to }, "", "")?;
        remember(&mut response, &token, request.https);
        Ok(response)
    }
}

fn refused(request: &Request<'_>, error: OidcError) -> Answer {
    tracing::info!(why = error.word(), "a sign-in at the company's service came to nothing");
    let status = match error {
        OidcError::User(error) => return Err(Trouble::later(error)),
        OidcError::Unreachable(_) => StatusCode::BAD_GATEWAY,
        OidcError::NotInGroup | OidcError::NotKnownHere => StatusCode::FORBIDDEN,
        OidcError::NameTaken(_) | OidcError::LinkedElsewhere => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    };
    Ok(front::trouble(request, status, "You are not signed in", &error.to_string()))
}

/// Over https one that no neighbour's name can set: else the end of a stranger's sign-in could be planted here.
fn own_cookie(https: bool) -> &'static str {
    if https { "__Host-lineartime_oidc" } else { "lineartime_oidc" }
}

const START: &str = "/oauth/oidc/start";
