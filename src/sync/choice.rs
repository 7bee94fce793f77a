//! Whose change stands, as a person chose it: for one account, for all of theirs, or not at all, and then the configuration says.

use serde::{Deserialize, Serialize};

use super::strategy::Strategy;
use super::{Engine, SyncError};
use crate::id::{AccountId, UserId};
use crate::store::{Batch, Record, Store, StoreError, Table, tables};

/// A choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    strategy: Strategy,
}

impl Record for Choice {
    const FORMAT: u8 = 1;
}

/// Choices by user and account; the empty account stands for all that have no choice of their own.
const CHOICES: Table<(UserId, String), Choice> = Table::new(tables::STRATEGY);

/// Who chose a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The configuration.
    Configuration,
    /// The user, for all accounts.
    User,
    /// The user, for this account.
    Account,
}

impl ChosenBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::User => "user",
            Self::Account => "account",
        }
    }
}

impl Engine {
    /// The strategy for an account of a user, or for all that have no choice of their own, and who chose it.
    pub async fn strategy(
        &self,
        user: &UserId,
        account: Option<&AccountId>,
    ) -> Result<(Strategy, ChosenBy), StoreError> {
        if let Some(account) = account
            && let Some(own) = chosen(&*self.store, user, account.as_str()).await?
        {
            return Ok((own, ChosenBy::Account));
        }
        Ok(match chosen(&*self.store, user, "").await? {
            Some(all) => (all, ChosenBy::User),
            None => (self.config.strategy.clone(), ChosenBy::Configuration),
        })
    }

    /// Chooses, or with `None` takes the choice back.
    pub async fn choose_strategy(
        &self,
        user: &UserId,
        account: Option<&AccountId>,
        strategy: Option<Strategy>,
    ) -> Result<(), SyncError> {
        let key = (user.clone(), account.map_or_else(String::new, ToString::to_string));
        let mut batch = Batch::new();
        match strategy {
            Some(strategy) => CHOICES.put(&mut batch, &key, &Choice { strategy }),
            None => CHOICES.delete(&mut batch, &key),
        }
        self.store.commit(batch).await?;
        Ok(())
    }
}

async fn chosen(store: &dyn Store, user: &UserId, account: &str) -> Result<Option<Strategy>, StoreError> {
    let choice = CHOICES.get(store, &(user.clone(), account.to_owned())).await?;
    Ok(choice.map(|choice| choice.strategy))
}

/// Forgets the choice for an account that is removed.
pub(super) fn forget(batch: &mut Batch, user: &UserId, account: &AccountId) {
    CHOICES.delete(batch, &(user.clone(), account.to_string()));
}
