//! The device flow (RFC 8628): a short code is typed on another device. Google does not offer it for calendars.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oauth2::{DeviceAuthorizationUrl, RequestTokenError, Scope, StandardDeviceAuthorizationResponse};

use super::super::{Account, AccountError, Accounts};
use super::fault::{fault, refused};
use super::{OAuthService, SignInError};
use crate::entropy;
use crate::id::UserId;
use crate::provider::Fault;

/// What a person types, and where.
#[derive(Clone, Debug)]
pub struct DevicePrompt {
    /// The code.
    pub code: String,
    /// The page to open on any device.
    pub page: String,
    /// By which [`Accounts::await_device`] waits for it.
    pub id: String,
}

/// Codes that were given out and are waited for. A process that ends forgets them: the person begins again.
#[derive(Default)]
pub(in crate::account) struct Devices(Mutex<HashMap<String, Device>>);

struct Device {
    user: UserId,
    service: OAuthService,
    label: Option<String>,
    details: StandardDeviceAuthorizationResponse,
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Devices({})", self.open().len())
    }
}

impl Devices {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Asks for a code to type elsewhere.
    pub async fn begin_device(
        &self,
        user: &UserId,
        service: OAuthService,
        label: Option<String>,
    ) -> Result<DevicePrompt, AccountError> {
        let app = self.app(service)?;
        let Some(url) = &app.device_url else {
            let why = "Google gives no device codes for calendars: leave out --device and open the link";
            return Err(SignInError::Denied(why.to_owned()).into());
        };
        let client = app.client().set_device_authorization_url(DeviceAuthorizationUrl::from_url(url.clone()));
        let asked = client.exchange_device_code().add_scopes(app.scopes.iter().cloned().map(Scope::new));
        let details: StandardDeviceAuthorizationResponse =
            asked.request_async(&app.way()).await.map_err(|failed| fault(service, &failed))?;
        let id = entropy::token(self.means.entropy.as_ref(), 24);
        let prompt = DevicePrompt {
            code: details.user_code().secret().clone(),
            page: details.verification_uri().to_string(),
            id: id.clone(),
        };
        self.devices.open().insert(id, Device { user: user.clone(), service, label, details });
        Ok(prompt)
    }

    /// Waits until the code was typed, or nobody will.
    pub async fn await_device(&self, id: &str) -> Result<Account, AccountError> {
        let device = self.devices.open().remove(id).ok_or(SignInError::Unknown)?;
        let app = self.app(device.service)?;
        let client = app.client();
        let asked = client.exchange_device_access_token(&device.details);
        let clock = self.means.clock.clone();
        let reply = asked.request_async(&app.way(), move |pause| clock.sleep(pause), None).await;
        let reply = reply.map_err(|failed| match failed {
            RequestTokenError::ServerResponse(answer) => {
                let error = answer.error().as_ref().to_owned();
                let description = answer.error_description().map_or("", String::as_str);
                match error.as_str() {
                    "authorization_declined" | "access_denied" if !description.contains("AADSTS") => {
                        let why = format!("{} says that access was not allowed", device.service.title());
                        AccountError::SignIn(SignInError::Denied(why))
                    }
                    "expired_token" | "bad_verification_code" => AccountError::SignIn(SignInError::Unknown),
                    _ => refused(device.service, &error, description).into(),
                }
            }
            RequestTokenError::Request(error) => Fault::Unreachable(error.to_string()).into(),
            _ => Fault::Garbled(format!("{}'s sign-in answers what can't be read", device.service.title())).into(),
        })?;
        self.connect_reply(&device.user, device.service, &reply, device.label.as_deref()).await
    }
}
