//! The one-time link by which the first administrator comes in, without a password in any log or history.
//!
//! The token is shown once and only its hash is kept; it holds for a day and for one use.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::user::{UserError, Users, commit};
use crate::entropy;
use crate::id::UserId;
use crate::store::{Batch, Record, StoreError, Table, tables};
use crate::vault::Secret;

/// A link that was just made.
#[derive(Clone, Debug)]
pub struct SetupLink {
    /// What makes it a secret: the last segment of the link.
    pub token: Secret,
    /// Until when it can be used.
    pub expires: Timestamp,
}

/// Why a link was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// Used before, too old, or never made.
    #[error("this link was used before, or is too old")]
    NotValid,
    /// The user could not be made.
    #[error(transparent)]
    User(#[from] UserError),
}

impl From<StoreError> for RedeemError {
    fn from(error: StoreError) -> Self {
        Self::User(error.into())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    expires: Timestamp,
}

impl Record for Row {
    const FORMAT: u8 = 1;
}

const LINKS: Table<String, Row> = Table::new(tables::SETUP_LINK);
const HOLDS: SignedDuration = SignedDuration::from_hours(24);

impl Users {
    /// Makes a link. Every earlier one ends.
    pub async fn setup_link(&self) -> Result<SetupLink, UserError> {
        let token = Secret::from(entropy::token(&*self.entropy, 20));
        let expires = self.clock.now().checked_add(HOLDS).unwrap_or(Timestamp::MAX);
        let mut batch = Batch::new();
        for (key, _) in LINKS.scan(&*self.store, LINKS.all(), usize::MAX).await? {
            LINKS.delete(&mut batch, &key);
        }
        LINKS.put(&mut batch, &key(&token), &Row { expires });
        commit(&*self.store, batch, || UserError::Busy).await?;
        Ok(SetupLink { token, expires })
    }

    /// Takes away links that have ended. Says how many.
    pub async fn forget_expired_links(&self) -> Result<u64, UserError> {
        let (now, mut batch, mut forgotten) = (self.clock.now(), Batch::new(), 0);
        for (key, row) in LINKS.scan(&*self.store, LINKS.all(), usize::MAX).await? {
            if row.expires <= now {
                LINKS.delete(&mut batch, &key);
                forgotten += 1;
            }
        }
        if forgotten > 0 {
            commit(&*self.store, batch, || UserError::Busy).await?;
        }
        Ok(forgotten)
    }

    /// Whether the link would be accepted now.
    pub async fn setup_link_holds(&self, token: &Secret) -> Result<bool, UserError> {
        let row = LINKS.get(&*self.store, &key(token)).await?;
        Ok(row.is_some_and(|row| self.clock.now() < row.expires))
    }

    /// Makes the administrator, and ends the link, in one commit.
    pub async fn redeem(&self, token: &Secret, user: &UserId, password: &Secret) -> Result<(), RedeemError> {
        if !self.setup_link_holds(token).await? {
            return Err(RedeemError::NotValid);
        }
        if self.user(user).await?.is_some() {
            return Err(UserError::Exists(user.clone()).into());
        }
        let mut batch = Batch::new();
        LINKS.expect_present(&mut batch, &key(token));
        LINKS.delete(&mut batch, &key(token));
        self.add_into(&mut batch, user, password, true).await?;
        match commit(&*self.store, batch, || UserError::Exists(user.clone())).await {
            Err(UserError::Exists(_)) if self.user(user).await?.is_none() => Err(RedeemError::NotValid),
            done => Ok(done?),
        }
    }
}

fn key(token: &Secret) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(token.expose()))
}
