//! How the service is reached, and what it says of itself (`OpenID` Connect Discovery 1.0).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openidconnect::core::{CoreClientAuthMethod, CoreProviderMetadata};
use openidconnect::{
    AsyncHttpClient, ClaimsVerificationError, DiscoveryError, HttpRequest, HttpResponse, IssuerUrl,
    SignatureVerificationError,
};
use url::Url;

use super::{Oidc, OidcError};
use crate::transport::{SendRules, Transport, TransportError};

pub(super) type Metadata = CoreProviderMetadata;

/// What the service last said of itself, or that it could not be asked.
#[derive(Debug, Default)]
pub(super) struct Known {
    metadata: Option<(Duration, Metadata)>,
    failed: Option<(Duration, String)>,
}

impl Oidc {
    /// What the service says of itself, with its keys; not from memory when it is to be `fresh`.
    pub(super) async fn metadata(&self, fresh: bool) -> Result<Metadata, OidcError> {
        // One asks, the others wait for its answer: a service that is slow is not to be asked by all of them.
        let mut known = self.known.lock().await;
        let now = self.clock.monotonic();
        if let Some((since, metadata)) = &known.metadata
            && !fresh
            && now.saturating_sub(*since) < KEPT
        {
            return Ok(metadata.clone());
        }
        if let Some((since, why)) = &known.failed
            && now.saturating_sub(*since) < PAUSE
        {
            return Err(OidcError::Unreachable(why.clone()));
        }
        let asked = self.discover().await;
        let now = self.clock.monotonic();
        match asked {
            Ok(metadata) => {
                *known = Known { metadata: Some((now, metadata.clone())), failed: None };
                Ok(metadata)
            }
            Err(why) => {
                known.failed = Some((now, why.clone()));
                Err(OidcError::Unreachable(why))
            }
        }
    }

    async fn discover(&self) -> Result<Metadata, String> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|_| "oidc.issuer".to_owned())?;
        let way = self.way();
        Metadata::discover_async(issuer, &way).await.map_err(|error| match error {
            DiscoveryError::Request(error) => error.to_string(),
            DiscoveryError::Validation(_) => "it names another issuer than oidc.issuer does".to_owned(),
            DiscoveryError::Response(status, ..) => format!("its discovery document or keys: status {status}"),
            _ => "its discovery document or keys".to_owned(),
        })
    }

    pub(super) fn way(&self) -> Way {
        let issuer = Url::parse(&self.settings.issuer).ok();
        Way {
            named: self.ways.named.clone(),
            guarded: self.ways.guarded.clone(),
            host: issuer.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned(),
            only_https: issuer.is_none_or(|issuer| issuer.scheme() == "https"),
        }
    }
}

/// Whether the service takes the client's secret in the body alone (`OpenID` Connect Core 9).
pub(super) fn secret_in_body(metadata: &Metadata) -> bool {
    metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
        !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
            && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
    })
}

/// Which check a token failed: the library's own words hold what the token says.
pub(super) fn failed_check(error: &ClaimsVerificationError) -> &'static str {
    match error {
        ClaimsVerificationError::Expired(_) => "expired",
        ClaimsVerificationError::InvalidAudience(_) => "audience",
        ClaimsVerificationError::InvalidIssuer(_) => "issuer",
        ClaimsVerificationError::InvalidNonce(_) => "nonce",
        ClaimsVerificationError::InvalidSubject(_) => "subject",
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => "no such key",
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::DisallowedAlg(_)) => "algorithm",
        ClaimsVerificationError::SignatureVerification(_) => "signature",
        _ => "ID token",
    }
}

/// Sends what the library wants sent: to the host that the administrator has named wherever that is, elsewhere only
/// where strangers' addresses may lead.
pub(super) struct Way {
    named: Arc<dyn Transport>,
    guarded: Arc<dyn Transport>,
    host: String,
    only_https: bool,
}

impl<'c> AsyncHttpClient<'c> for Way {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TransportError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            if self.only_https && request.uri().scheme_str() != Some("https") {
                return Err(TransportError::Invalid("the service names an address that is not https"));
            }
            let is_named = request.uri().host().is_some_and(|host| host.eq_ignore_ascii_case(&self.host));
            let way = if is_named { &self.named } else { &self.guarded };
            let answer = way.send(request.map(Bytes::from), &RULES).await?;
            Ok(answer.map(|body| body.to_vec()))
        })
    }
}

const RULES: SendRules = SendRules { total: Duration::from_secs(10), max_body: 1 << 20 };
/// So long what the service says of itself is believed where nothing is verified with it.
const KEPT: Duration = Duration::from_mins(5);
/// A service that could not be asked is left alone so long.
const PAUSE: Duration = Duration::from_secs(3);
