//! Giving the tokens of an account back when it is removed (RFC 7009).
//!
//! The account is gone here at once, whatever its provider says. What is to be given back lies in a row of its own until the
//! provider has taken it, a day at most. A grant is of a person and this program, whatever the number of accounts here
//! that live by it: while another of the same login is connected nothing is given back.

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::connect::same_login;
use super::super::record::{ACCOUNTS, AccountRow, RECORD};
use super::super::{AccountError, Accounts, ProviderKind};
use super::{OAuthService, TokenSet};
use crate::id::{AccountId, UserId};
use crate::store::{Batch, Record, Table, tables};
use crate::transport::SendRules;

/// An account that is gone here and whose tokens its provider has still to take back. Sealed as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::account) struct Leaver {
    pub(in crate::account) row: AccountRow,
    until: Timestamp,
}

impl Record for Leaver {
    const FORMAT: u8 = 1;
}

/// Beside the accounts, as another sort of row.
pub(in crate::account) const LEAVERS: Table<(u8, UserId, AccountId), Leaver> = Table::new(tables::ACCOUNT);
/// That sort.
pub(in crate::account) const LEAVING: u8 = 3;

/// For so long a provider that does not answer is asked again.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// What a round of giving back came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// Tokens that their provider has taken back, or that live on for another account of the same login.
    pub done: usize,
    /// Tokens that it will be asked about again.
    pub waiting: usize,
    /// Tokens that were given up: the person takes the program's access away in the account's settings there.
    pub given_up: usize,
}

enum Outcome {
    Done,
    Waits,
}

impl Accounts {
    /// Notes in `batch`, which removes the account, that its tokens are to be given back.
    pub(in crate::account) fn leave_into(&self, batch: &mut Batch, row: &AccountRow) {
        if self.takes_back(&row.account.provider) {
            let until = self.means.clock.now().checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
            LEAVERS.put(batch, &key(row), &Leaver { row: row.clone(), until });
        }
    }

    /// Gives back the tokens of all accounts that have been removed.
    pub async fn give_back(&self) -> Result<GivenBack, AccountError> {
        let mut given = GivenBack::default();
        for (_, leaver) in LEAVERS.scan(&*self.rows.store, LEAVERS.range(&LEAVING), usize::MAX).await? {
            let outcome = self.give_back_one(&leaver.row).await?;
            let is_over = leaver.until <= self.means.clock.now();
            match outcome {
                Outcome::Done => given.done += 1,
                Outcome::Waits if !is_over => {
                    given.waiting += 1;
                    continue;
                }
                Outcome::Waits => {
                    let id = &leaver.row.account.id;
                    tracing::error!(account.id = %id, "the provider has not taken the tokens of a removed account back \
                        for a day: the person takes this program's access away in the account's settings there");
                    given.given_up += 1;
                }
            }
            let mut batch = Batch::new();
            LEAVERS.delete(&mut batch, &key(&leaver.row));
            self.rows.store.commit(batch).await?;
        }
        Ok(given)
    }

    /// The service of an account, if it takes tokens back.
    fn takes_back(&self, kind: &ProviderKind) -> bool {
        service_of(kind).and_then(|service| self.app(service).ok()).is_some_and(|app| app.revoke_url.is_some())
    }

    async fn give_back_one(&self, row: &AccountRow) -> Result<Outcome, AccountError> {
        let service = service_of(&row.account.provider).and_then(|service| self.app(service).ok());
        let Some((app, url)) = service.and_then(|app| app.revoke_url.as_ref().map(|url| (app, url))) else {
            return Ok(Outcome::Waits);
        };
        if self.is_in_use(&row.account.provider).await? {
            return Ok(Outcome::Done);
        }
        let set = match self.rows.unseal(row) {
            Ok(secret) => TokenSet::read(&secret)?,
            // No key opens it: nobody can use it either.
            Err(AccountError::Vault(_)) => return Ok(Outcome::Done),
            Err(error) => return Err(error),
        };
        let secret = set.secret();
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", secret.expose_str().unwrap_or_default())
            .finish();
        let request = Request::post(url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(body));
        let Ok(request) = request else { return Ok(Outcome::Done) };
        match app.transport.send(request, &SendRules::default()).await {
            Ok(answer) if answer.status().is_success() => Ok(Outcome::Done),
            // RFC 7009 2.2.1: a token that the provider does not know is as good as taken back; Google says so with a 400.
            Ok(answer) if answer.status().as_u16() == 400 => Ok(Outcome::Done),
            Ok(answer) => {
                let status = answer.status().as_u16();
                tracing::warn!(account.id = %row.account.id, status, "the provider did not take the token back");
                Ok(Outcome::Waits)
            }
            Err(error) => {
                tracing::warn!(account.id = %row.account.id, %error, "the token could not be given back");
                Ok(Outcome::Waits)
            }
        }
    }

    /// Whether an account of this login is connected, whosoever's.
    async fn is_in_use(&self, kind: &ProviderKind) -> Result<bool, AccountError> {
        let rows = ACCOUNTS.scan(&*self.rows.store, ACCOUNTS.range(&RECORD), usize::MAX).await?;
        Ok(rows.iter().any(|(_, row)| same_login(&row.account.provider, kind)))
    }
}

fn key(row: &AccountRow) -> (u8, UserId, AccountId) {
    (LEAVING, row.account.user.clone(), row.account.id.clone())
}

fn service_of(kind: &ProviderKind) -> Option<OAuthService> {
    match kind {
        ProviderKind::Google { .. } => Some(OAuthService::Google),
        ProviderKind::Microsoft { .. } => Some(OAuthService::Microsoft),
        _ => None,
    }
}
