//! The browser's part of connecting an account: `/oauth/{service}/start` sends it to the provider, and
//! `/oauth/{service}/callback` is where it comes back to.
//!
//! A sign-in that begins here is bound to a cookie of its own, so that an address somebody else has made up connects nothing
//! to the wrong account (RFC 6749 10.12). One that a command has begun is bound to the command.
//! Never here: tokens, codes in a log, or what a calendar is.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use url::Url;

use crate::account::oauth::{NewSignIn, OAuthService};
use crate::account::{AccountError, Accounts};
use crate::entropy::{self, Entropy};
use crate::id::UserId;
use crate::sync::Engine;
use crate::vault::Secret;

/// Answers the two addresses.
#[derive(Debug)]
pub struct Service {
    accounts: Arc<Accounts>,
    engine: Arc<Engine>,
    entropy: Arc<dyn Entropy>,
    public_url: Url,
}

impl Service {
    /// The addresses below `public_url`.
    pub fn new(accounts: Arc<Accounts>, engine: Arc<Engine>, entropy: Arc<dyn Entropy>, public_url: Url) -> Self {
        Self { accounts, engine, entropy, public_url }
    }

    /// Sends the browser of `user` to the provider.
    pub async fn start(&self, user: &UserId, service: OAuthService) -> Response<Bytes> {
        let browser = Secret::new(entropy::token(&*self.entropy, 32));
        let new = NewSignIn {
            user,
            service,
            redirect: redirect(&self.public_url, service),
            browser: Some(&browser),
            label: None,
        };
        match self.accounts.begin_sign_in(new).await {
            Ok(begun) => {
                let mut response = page(StatusCode::SEE_OTHER, "", "");
                let headers = response.headers_mut();
                let cookie = self.cookie(&browser);
                if let (Ok(link), Ok(cookie)) =
                    (HeaderValue::from_str(begun.link.as_str()), HeaderValue::from_str(&cookie))
                {
                    headers.insert(LOCATION, link);
                    headers.insert(SET_COOKIE, cookie);
                }
                response
            }
            Err(error) => failed(service, &error),
        }
    }

    /// Takes what the provider has sent the browser back with.
    pub async fn callback(
        &self,
        service: OAuthService,
        query: &str,
        headers: &HeaderMap,
        present: Option<&UserId>,
    ) -> Response<Bytes> {
        let browser = cookie(headers);
        let account = match self.accounts.finish_sign_in_at(service, query, browser.as_ref(), present).await {
            Ok(account) => account,
            Err(error) => return failed(service, &error),
        };
        if let Err(error) = self.engine.attend(&account.id).await {
            // The next start sees to it.
            tracing::warn!(%error, account.id = %account.id, "the jobs of a new account could not be queued");
        }
        let text = format!("{} is connected. You can close this page.", account.label);
        page(StatusCode::OK, "Connected", &text)
    }

    fn cookie(&self, browser: &Secret) -> String {
        let secure = if self.public_url.scheme() == "https" { "; Secure" } else { "" };
        let value = browser.expose_str().unwrap_or_default();
        format!("{NAME}={value}; Path=/oauth/; Max-Age=900; HttpOnly; SameSite=Lax{secure}")
    }
}

/// Where the provider is to send the browser, if this server is reached as `public_url`.
pub fn redirect(public_url: &Url, service: OAuthService) -> String {
    format!("{}/oauth/{}/callback", public_url.as_str().trim_end_matches('/'), service.name())
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, value)| Secret::new(value.as_bytes()))
}

fn failed(service: OAuthService, error: &AccountError) -> Response<Bytes> {
    let status = match error {
        AccountError::Store(_) | AccountError::Stale => StatusCode::SERVICE_UNAVAILABLE,
        AccountError::Provider(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::BAD_REQUEST,
    };
    tracing::info!(service = service.name(), status = status.as_u16(), "a sign-in came to nothing");
    let words = error.to_string();
    page(status, "Not connected", &words)
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Bytes> {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title} · LinearTime</title>\
         <link rel=\"stylesheet\" href=\"/assets/style.css\"></head>\n\
         <body><main id=\"main\"><h1>{title}</h1><p>{}</p><p><a class=\"button main\" href=\"/accounts\">Accounts</a></p></main></body></html>\n",
        escape(text)
    );
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const NAME: &str = "lineartime_sign_in";
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert!(cookie(&headers).is_none());
        headers.insert(COOKIE, HeaderValue::from_static("a=b; lineartime_sign_in=x1; c=d"));
        assert_eq!(cookie(&headers), Some(Secret::new("x1")));
        let url = Url::parse("https://cal.example.org/").unwrap();
        assert_eq!(redirect(&url, OAuthService::Google), "https://cal.example.org/oauth/google/callback");
        assert!(!page(StatusCode::OK, "t", "<b>").body().windows(3).any(|part| part == b"<b>"));
    }
}
