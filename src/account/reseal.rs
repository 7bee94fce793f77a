//! Sealing passwords and tokens again, under another master key.

use std::sync::Arc;

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
    /// Seals with `new` from now on; what was sealed before still opens.
    pub fn seal_with(&self, new: &MasterKey) -> Arc<KeyRing> {
        let newer = |keys: &Arc<KeyRing>| (keys.active() != new.id()).then(|| KeyRing::clone(keys).with_new_key(new));
        self.rows.replace_keys(newer)
    }

    /// Seals every password under the newest key, one commit each.
    pub async fn reseal(&self) -> Result<Resealed, AccountError> {
        let (keys, mut done) = (self.rows.keys(), Resealed::default());
        for (_, row) in ACCOUNTS.scan(&*self.rows.store, ACCOUNTS.range(&RECORD), usize::MAX).await? {
            if !keys.is_stale(&row.secret) {
                continue;
            }
            match self.reseal_one(&row).await {
                Ok(()) => done.resealed += 1,
                // Removed meanwhile.
                Err(AccountError::NotFound) => {}
                Err(AccountError::Vault(error)) => {
                    tracing::warn!(account.id = %row.account.id, %error, "a secret could not be sealed again");
                    done.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    async fn reseal_one(&self, row: &AccountRow) -> Result<(), AccountError> {
        let sealed = self.rows.seal(&row.account, &self.rows.unseal(row)?);
        self.rows
            .change(&row.account.id, |now| {
                // A new one came meanwhile, under the new key: that one stays.
                if now.secret == row.secret {
                    now.secret = sealed.clone();
                }
            })
            .await?;
        Ok(())
    }
}
