//! Sealing the passwords again, under another master key.

use std::sync::{Arc, PoisonError};

use super::record::{ACCOUNTS, AccountRow, RECORD};
use super::{AccountError, Accounts};
use crate::vault::{KeyRing, MasterKey};

/// What was sealed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Passwords that the newest key seals now and did not before.
    pub resealed: usize,
    /// Passwords that no key opens. They stay as they are.
    pub unreadable: usize,
}

impl Accounts {
    pub(super) fn keys(&self) -> Arc<KeyRing> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals with `new` from now on; what was sealed before still opens.
    pub fn seal_with(&self, new: &MasterKey) -> Arc<KeyRing> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.active() != new.id() {
            *keys = Arc::new(KeyRing::clone(&keys).with_new_key(new));
        }
        keys.clone()
    }

    /// Seals every password under the newest key, one commit each.
    pub async fn reseal(&self) -> Result<Resealed, AccountError> {
        let (keys, mut done) = (self.keys(), Resealed::default());
        for (_, row) in ACCOUNTS.scan(&*self.store, ACCOUNTS.range(&RECORD), usize::MAX).await? {
            if !keys.is_stale(&row.password) {
                continue;
            }
            match self.reseal_one(&row).await {
                Ok(()) => done.resealed += 1,
                // Removed meanwhile.
                Err(AccountError::NotFound) => {}
                Err(AccountError::Vault(error)) => {
                    tracing::warn!(account.id = %row.account.id, %error, "a password could not be sealed again");
                    done.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn reseal_one(&self, row: &AccountRow) -> Result<(), AccountError> {
        let sealed = self.seal(&row.account, &self.unseal(row)?);
        self.change(&row.account.id, |now| {
            // A new password came meanwhile, under the new key: that one stays.
            if now.password == row.password {
                now.password = sealed.clone();
            }
        })
        .await?;
        Ok(())
    }
}
