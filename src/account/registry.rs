//! Which kind of account is which provider: the one place that builds providers, one arm for each kind.

use std::sync::Arc;

use url::Url;
use zeroize::Zeroizing;

use super::oauth::{App, OAuthService, TokenKeeper, TokenSet};
use super::record::AccountRow;
use super::{AccountError, Accounts, Means, ProviderKind};
use crate::provider::caldav::{CalDav, Login, Preset};
use crate::provider::google::{Google, GoogleMeans};
use crate::provider::ics::Feed;
use crate::provider::microsoft::Microsoft;
use crate::provider::{Fault, Provider, Tokens};
use crate::transport::Transport;
use crate::vault::Secret;

/// The services that the configuration names.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Google, if a client is registered.
    pub google: Option<GoogleService>,
    /// Microsoft, if a client is registered.
    pub microsoft: Option<MicrosoftService>,
    /// iCloud, where it is not Apple's own address that is gone to.
    pub icloud: Option<ICloudService>,
}

/// How iCloud is reached.
#[derive(Clone, Debug)]
pub struct ICloudService {
    /// Where its calendars are looked for.
    pub url: Url,
    /// The way there: the guarded one, or one that goes wherever the administrator said.
    pub transport: Arc<dyn Transport>,
}

/// How Google is reached.
#[derive(Clone, Debug)]
pub struct GoogleService {
    /// For signing in.
    pub app: App,
    /// The base of the Calendar API.
    pub api: Url,
    /// The way there: the guarded one, or one that goes wherever the administrator said.
    pub transport: Arc<dyn Transport>,
}

/// How Microsoft is reached.
#[derive(Clone, Debug)]
pub struct MicrosoftService {
    /// For signing in.
    pub app: App,
    /// The base of Graph.
    pub api: Url,
    /// Whose accounts may sign in.
    pub tenant: String,
    /// The way there: the guarded one, or one that goes wherever the administrator said.
    pub transport: Arc<dyn Transport>,
}

impl Accounts {
    /// The provider of an account, signed in with the secret of its row.
    pub(super) fn build(&self, row: &AccountRow) -> Result<Arc<dyn Provider>, AccountError> {
        let secret = self.rows.unseal(row)?;
        Ok(match &row.account.provider {
            ProviderKind::CalDav { given, username, homes } => {
                Arc::new(CalDav::known(given, homes, login(username, &secret)?, &self.means))
            }
            ProviderKind::ICloud { username, homes } => {
                let service = self.icloud()?;
                let means = Means { transport: service.transport.clone(), ..self.means.clone() };
                Arc::new(
                    CalDav::known(service.url.as_str(), homes, login(username, &secret)?, &means).with(Preset::ICloud),
                )
            }
            ProviderKind::Google { email } => self.google(email, self.tokens(OAuthService::Google, row)?)?,
            ProviderKind::Microsoft { email, .. } => {
                self.microsoft(email, self.tokens(OAuthService::Microsoft, row)?)?
            }
            ProviderKind::Ics { .. } => Arc::new(Feed::new(feed_address(&secret)?, &self.means)),
        })
    }

    /// A provider of `service` that lives on `tokens`.
    pub(super) fn with_tokens(
        &self,
        service: OAuthService,
        tokens: Arc<dyn Tokens>,
    ) -> Result<Arc<dyn Provider>, AccountError> {
        match service {
            OAuthService::Google => self.google("", tokens),
            OAuthService::Microsoft => self.microsoft("", tokens),
        }
    }

    /// The kind of an account of `service` whose main address is `email`.
    pub(super) fn kind(&self, service: OAuthService, email: String) -> ProviderKind {
        match service {
            OAuthService::Google => ProviderKind::Google { email },
            OAuthService::Microsoft => {
                let tenant = self.services.microsoft.as_ref().map_or("common", |service| &service.tenant).to_owned();
                ProviderKind::Microsoft { email, tenant }
            }
        }
    }

    /// iCloud, as it is reached here.
    pub(super) fn icloud(&self) -> Result<ICloudService, AccountError> {
        if let Some(service) = &self.services.icloud {
            Ok(service.clone())
        } else {
            let url = Url::parse(ICLOUD).map_err(|_| AccountError::NotConfigured("iCloud has no address"))?;
            Ok(ICloudService { url, transport: self.means.transport.clone() })
        }
    }

    /// The registered client of a service.
    pub(super) fn app(&self, service: OAuthService) -> Result<&App, AccountError> {
        let app = match service {
            OAuthService::Google => self.services.google.as_ref().map(|service| &service.app),
            OAuthService::Microsoft => self.services.microsoft.as_ref().map(|service| &service.app),
        };
        app.ok_or(AccountError::NotConfigured(service.not_configured()))
    }

    /// The tokens of an account, kept in its row.
    fn tokens(&self, service: OAuthService, row: &AccountRow) -> Result<Arc<dyn Tokens>, AccountError> {
        let set = TokenSet::read(&self.rows.unseal(row)?)?;
        let keeper = TokenKeeper::of_account(self.app(service)?.clone(), set, &self.rows, &row.account, &self.means);
        Ok(Arc::new(keeper))
    }

    fn google(&self, email: &str, tokens: Arc<dyn Tokens>) -> Result<Arc<dyn Provider>, AccountError> {
        let service = self.services.google.as_ref();
        let service = service.ok_or(AccountError::NotConfigured(OAuthService::Google.not_configured()))?;
        let means = GoogleMeans {
            api: service.api.clone(),
            transport: service.transport.clone(),
            clock: self.means.clock.clone(),
            tokens,
        };
        Ok(Arc::new(Google::new(email, means)))
    }

    fn microsoft(&self, email: &str, tokens: Arc<dyn Tokens>) -> Result<Arc<dyn Provider>, AccountError> {
        let service = self.services.microsoft.as_ref();
        let service = service.ok_or(AccountError::NotConfigured(OAuthService::Microsoft.not_configured()))?;
        let (api, transport) = (service.api.clone(), service.transport.clone());
        Ok(Arc::new(Microsoft::new(api, transport, tokens, self.means.clock.clone(), Some(email))))
    }
}

/// The login of a password account.
pub(super) fn login(username: &str, password: &Secret) -> Result<Login, AccountError> {
    let text = password.expose_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| Fault::Unauthorized("the password is not text".to_owned()))?;
    Ok(Login { username: username.to_owned(), password: Zeroizing::new(text.to_owned()) })
}

/// The address of a feed, from the secret of its account.
fn feed_address(secret: &Secret) -> Result<Url, AccountError> {
    let url = secret.expose_str().and_then(|text| Url::parse(text).ok());
    Ok(url.ok_or_else(|| Fault::Refused("the stored address of the feed is none".to_owned()))?)
}

/// Where iCloud's calendars are looked for.
const ICLOUD: &str = "https://caldav.icloud.com/";
