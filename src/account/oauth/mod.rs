//! Signing in where the provider has a page of its own for it: OAuth 2.0 (RFC 6749, 7636, 8252, 8628).
//!
//! `sign_in` runs the code flow: a link with PKCE and a state that works once, an answer that must come from the browser
//! that began, a code turned into tokens. `device` does it by a code that is typed elsewhere. `keeper` holds an account's
//! tokens and refreshes them, one refresh for all who wait. `revocation` gives them back. `fault` reads the token endpoint's refusals.
//!
//! Invariant: a new refresh token is stored before anything is done with the access token that came with it.
//! It never logs or shows a token, a code or a state.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    RedirectUrl, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::AccountError;
use crate::provider::Fault;
use crate::transport::{SendRules, Transport, TransportError};
use crate::vault::Secret;

mod connect;
mod device;
mod fault;
mod keeper;
mod revocation;
mod sign_in;

pub use device::DevicePrompt;
pub(super) use device::Devices;
pub(super) use keeper::TokenKeeper;
pub use revocation::GivenBack;
pub(super) use revocation::{LEAVERS, LEAVING};
pub use sign_in::{Begun, NewSignIn, SignInError};

/// A service whose accounts sign in by OAuth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OAuthService {
    /// Google Calendar.
    Google,
    /// Microsoft 365 and Outlook.com.
    Microsoft,
}

impl OAuthService {
    /// Its name on the command line and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Microsoft => "microsoft",
        }
    }

    /// The service with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Google, Self::Microsoft].into_iter().find(|service| service.name() == name)
    }

    /// Its name in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Self::Google => "Google",
            Self::Microsoft => "Microsoft",
        }
    }

    pub(super) fn not_configured(self) -> &'static str {
        match self {
            Self::Google => {
                "providers.google.client_id is not set: register a client with Google and put its id and secret there"
            }
            Self::Microsoft => {
                "providers.microsoft.client_id is not set: register an application with Microsoft and put its id there"
            }
        }
    }
}

/// The client that the administrator registered with a service, and where the service is.
#[derive(Clone, Debug)]
pub struct App {
    /// Which service.
    pub service: OAuthService,
    /// The registered client.
    pub client_id: String,
    /// Its secret; public clients have none.
    pub client_secret: Option<Secret>,
    /// Where people allow it.
    pub auth_url: Url,
    /// Where codes and refresh tokens become access tokens.
    pub token_url: Url,
    /// Where tokens are given back (RFC 7009), if anywhere.
    pub revoke_url: Option<Url>,
    /// Where codes for other devices are given out (RFC 8628), if anywhere.
    pub device_url: Option<Url>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Those without which nothing works; each with what a person would call it.
    pub needed: Vec<(String, &'static str)>,
    /// Further parameters of the link.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// The way there.
    pub transport: Arc<dyn Transport>,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

impl App {
    fn client(&self) -> Client {
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.auth_url.clone()))
            .set_token_uri(TokenUrl::from_url(self.token_url.clone()))
            // Both services read it from the body, and one of them from nowhere else for public clients.
            .set_auth_type(AuthType::RequestBody);
        match self.client_secret.as_ref().and_then(Secret::expose_str) {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.to_owned())),
            None => client,
        }
    }

    fn client_for(&self, redirect: &str) -> Result<Client, AccountError> {
        let redirect = RedirectUrl::new(redirect.to_owned());
        let redirect =
            redirect.map_err(|_| AccountError::NotConfigured("server.public_url makes no redirect address"))?;
        Ok(self.client().set_redirect_uri(redirect))
    }

    /// The library's requests, by our own way out.
    fn way(&self) -> Way {
        Way(self.transport.clone())
    }

    /// What was not allowed of what is needed, in words. A reply that names no scopes has granted what was asked for
    /// (RFC 6749 5.1).
    fn missing(&self, granted: &[String]) -> Vec<&'static str> {
        if granted.is_empty() {
            return Vec::new();
        }
        let has = |scope: &str| {
            let short = scope.rsplit('/').next().unwrap_or(scope);
            granted.iter().any(|granted| {
                let name = granted.rsplit('/').next().unwrap_or(granted);
                // The whole includes its parts: `calendar` covers `calendar.events`.
                name.eq_ignore_ascii_case(short) || short.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            })
        };
        self.needed.iter().filter(|(scope, _)| !has(scope)).map(|(_, words)| *words).collect()
    }
}

/// Sends what the library wants sent.
struct Way(Arc<dyn Transport>);

impl<'c> AsyncHttpClient<'c> for Way {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TransportError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let rules = SendRules { max_body: LONGEST_ANSWER, ..SendRules::default() };
            let answer = self.0.send(request.map(Bytes::from), &rules).await?;
            Ok(answer.map(|body| body.to_vec()))
        })
    }
}

/// What an account signs in with.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenSet {
    refresh_token: Zeroizing<String>,
    scopes: Vec<String>,
}

impl std::fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenSet({} scopes)", self.scopes.len())
    }
}

impl TokenSet {
    /// A refresh token that somebody has already.
    pub fn of_refresh_token(token: &Secret) -> Result<Self, Fault> {
        let text = token.expose_str().map(str::trim).filter(|text| !text.is_empty() && text.is_ascii());
        let text = text.ok_or_else(|| Fault::Unauthorized("this is no refresh token".to_owned()))?;
        Ok(Self { refresh_token: Zeroizing::new(text.to_owned()), scopes: Vec::new() })
    }

    /// As it is sealed.
    pub(super) fn write(&self) -> Secret {
        Secret::new(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn read(sealed: &Secret) -> Result<Self, AccountError> {
        serde_json::from_slice(sealed.expose())
            .map_err(|_| Fault::Unauthorized("the stored tokens can't be read: sign in again".to_owned()).into())
    }

    /// The tokens of a reply to a code. Without a refresh token the account would stop within the hour.
    fn of_reply(reply: &BasicTokenResponse) -> Option<Self> {
        let refresh_token = Zeroizing::new(reply.refresh_token()?.secret().clone());
        Some(Self { refresh_token, scopes: granted(reply) })
    }

    fn secret(&self) -> Secret {
        Secret::new(self.refresh_token.as_bytes())
    }
}

fn granted(reply: &BasicTokenResponse) -> Vec<String> {
    reply.scopes().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect()).unwrap_or_default()
}

/// A token endpoint says little.
const LONGEST_ANSWER: usize = 256 << 10;

#[cfg(test)]
mod tests;
