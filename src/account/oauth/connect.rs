//! From tokens to a connected account.

use std::sync::Arc;

use oauth2::basic::BasicTokenResponse;

use super::super::connect::{free_label, same_login};
use super::super::record::AccountRow;
use super::super::{Account, AccountError, Accounts};
use super::{OAuthService, TokenKeeper, TokenSet};
use crate::failpoint;
use crate::id::UserId;
use crate::provider::{Fault, Provider};
use crate::vault::Secret;

impl Accounts {
    /// Connects an account by a refresh token that somebody has already.
    pub async fn add_refresh_token(
        &self,
        user: &UserId,
        service: OAuthService,
        token: &Secret,
        label: Option<&str>,
    ) -> Result<Account, AccountError> {
        self.app(service)?;
        self.add_tokens(user, (service, TokenSet::of_refresh_token(token)?, None), label).await
    }

    /// Connects an account by tokens, once the provider has answered to them. An account of the same login that is
    /// there takes the new tokens instead.
    pub(super) async fn add_tokens(
        &self,
        user: &UserId,
        (service, set, reply): (OAuthService, TokenSet, Option<&BasicTokenResponse>),
        label: Option<&str>,
    ) -> Result<Account, AccountError> {
        let app = self.app(service)?.clone();
        let keeper = Arc::new(TokenKeeper::of_nobody(app, set, reply, &self.means));
        let provider = self.with_tokens(service, keeper.clone())?;
        let (email, calendars) = (main_address(&*provider).await?, provider.calendars().await?);
        let kind = self.kind(service, email.clone());
        let mine = self.list(user).await?;
        let secret = keeper.set().await.write();
        failpoint::reach("oauth.code_exchanged");
        if let Some(twin) = mine.iter().find(|other| same_login(&other.provider, &kind)) {
            return self.sign_in_again(twin, &secret).await;
        }
        let account = self.new_account(user, free_label(&mine, label, &email)?, kind);
        let row = AccountRow { account: account.clone(), secret: self.rows.seal(&account, &secret) };
        let provider = self.build(&row)?;
        self.store_and_attach(account, &secret, &calendars, provider).await
    }

    async fn sign_in_again(&self, account: &Account, secret: &Secret) -> Result<Account, AccountError> {
        let sealed = self.rows.seal(account, secret);
        let row = AccountRow { account: account.clone(), secret: sealed.clone() };
        let provider = self.build(&row)?;
        self.take_secret(&account.id, &sealed, provider).await
    }
}

async fn main_address(provider: &dyn Provider) -> Result<String, AccountError> {
    let addresses = provider.addresses().await?;
    let main = addresses.into_iter().next();
    Ok(main.ok_or_else(|| Fault::Garbled("the provider does not say whose account this is".to_owned()))?)
}
