//! Sealing passwords and tokens again, under another master key.

use std::sync::Arc;

use super::oauth::{LEAVERS, LEAVING};
use super::record::{ACCOUNTS, AccountRow, RECORD};
use super::{AccountError, Accounts};
use crate::failpoint;
use crate::store::{Batch, CommitError};
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
                Ok(()) => {
                    done.resealed += 1;
                    failpoint::reach("rekey.item");
                }
                // Removed meanwhile.
                Err(AccountError::NotFound) => {}
                Err(AccountError::Vault(error)) => {
                    tracing::warn!(account.id = %row.account.id, %error, "a secret could not be sealed again");
                    done.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.reseal_leavers(&keys, &mut done).await?;
        Ok(done)
    }

    /// Those that are still to be given back.
    async fn reseal_leavers(&self, keys: &KeyRing, done: &mut Resealed) -> Result<(), AccountError> {
        let store = &*self.rows.store;
        for (key, leaver) in LEAVERS.scan(store, LEAVERS.range(&LEAVING), usize::MAX).await? {
            if !keys.is_stale(&leaver.row.secret) {
                continue;
            }
            let Ok(secret) = self.rows.unseal(&leaver.row) else {
                done.unreadable += 1;
                continue;
            };
            let mut sealed = leaver.clone();
            sealed.row.secret = self.rows.seal(&leaver.row.account, &secret);
            let mut batch = Batch::new();
            LEAVERS.expect(&mut batch, &key, &leaver);
            LEAVERS.put(&mut batch, &key, &sealed);
            match store.commit(batch).await {
                // Given back meanwhile, or by another.
                Ok(_) | Err(CommitError::Stale(_)) => done.resealed += 1,
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(())
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
