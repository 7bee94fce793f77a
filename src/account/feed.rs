//! Connecting what needs no address or no password: iCloud, whose address is known, and feeds, whose address is the key.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::connect::{free_label, same_login, signed_in, waits_for_sign_in};
use super::registry::login;
use super::{Account, AccountError, Accounts, Means, ProviderKind};
use crate::id::UserId;
use crate::provider::caldav::{CalDav, DiscoverError, Preset};
use crate::provider::ics;
use crate::vault::Secret;

/// What a person gives to connect an iCloud account.
#[derive(Clone, Debug)]
pub struct NewICloud {
    /// The name for people; without one, the address.
    pub label: Option<String>,
    /// The Apple account's address.
    pub username: String,
    /// An app-specific password: the account's own is refused there.
    pub password: Secret,
}

impl Accounts {
    /// Connects an iCloud account: finds the host that holds its calendars, seals the password. One that waits for a new
    /// sign-in takes the password instead.
    pub async fn add_icloud(&self, user: &UserId, new: NewICloud) -> Result<Account, AccountError> {
        let mine = self.list(user).await?;
        free_label(&signed_in(&mine), new.label.as_deref(), &new.username)?;
        let known = ProviderKind::ICloud { username: new.username.clone(), homes: Vec::new() };
        let twin = mine.iter().find(|other| same_login(&other.provider, &known));
        if let Some(twin) = twin.filter(|twin| !waits_for_sign_in(twin)) {
            return Err(AccountError::AlreadyConnected(twin.label.clone()));
        }
        let service = self.icloud()?;
        let means = Means { transport: service.transport, ..self.means.clone() };
        let login = login(&new.username, &new.password)?;
        let found = CalDav::discover_as(Preset::ICloud, service.url.as_str(), login, &means).await;
        let (provider, calendars) = found.map_err(|error| match error {
            DiscoverError::Unauthorized { .. } => AccountError::AppPassword,
            other => other.into(),
        })?;
        if let Some(twin) = twin {
            return self.take_password(twin, &new.password, Arc::new(provider)).await;
        }
        let label = free_label(&mine, new.label.as_deref(), &new.username)?;
        let kind = ProviderKind::ICloud { username: new.username, homes: provider.homes() };
        let account = self.new_account(user, label, kind);
        self.store_and_attach(account, &new.password, &calendars, Arc::new(provider)).await
    }

    /// Subscribes to the feed at `address`, once it has answered as a calendar.
    pub async fn add_feed(&self, user: &UserId, address: &str, label: Option<&str>) -> Result<Account, AccountError> {
        let mine = self.list(user).await?;
        let (feed, url, calendars) = ics::subscribe(address, &self.means).await?;
        let digest = HEXLOWER.encode(Sha256::digest(url.as_str()).get(..16).unwrap_or_default());
        let kind = ProviderKind::Ics { host: feed.host().to_owned(), digest };
        if let Some(twin) = mine.iter().find(|other| same_login(&other.provider, &kind)) {
            return Err(AccountError::AlreadyConnected(twin.label.clone()));
        }
        let account = self.new_account(user, free_label(&mine, label, feed.host())?, kind);
        self.store_and_attach(account, &Secret::new(url.as_str()), &calendars, feed).await
    }
}
