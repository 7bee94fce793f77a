//! Changes of an account's state that people are to hear of: what was told last is kept, so that nothing is told twice or,
//! after a crash, not at all.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::{AccountStatus, Health};
use super::{Engine, SyncError};
use crate::id::AccountId;
use crate::store::{Batch, Record, Table, tables};

/// What was told last about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    state: Health,
    acts: bool,
}

impl Record for Told {
    const FORMAT: u8 = 1;
}

const TOLD: Table<AccountId, Told> = Table::new(tables::TOLD);

/// An account fares otherwise than was told last.
#[derive(Clone, Debug, PartialEq)]
pub struct StateChange {
    /// How it fares now.
    pub now: AccountStatus,
    /// How it fared when it was last told.
    pub before: Health,
    /// When the change was seen.
    pub at: Timestamp,
}

impl Engine {
    /// How all accounts fare, and what of it has not been told yet.
    pub async fn untold(&self) -> Result<(Vec<AccountStatus>, Vec<StateChange>), SyncError> {
        let accounts = self.status(None).await?.accounts;
        let mut changes = Vec::new();
        for now in &accounts {
            let told = TOLD.get(&*self.store, &now.id).await?.unwrap_or(Told { state: Health::Healthy, acts: false });
            if told != (Told { state: now.state, acts: now.act.is_some() }) {
                changes.push(StateChange { now: now.clone(), before: told.state, at: self.clock.now() });
            }
        }
        Ok((accounts, changes))
    }

    /// Notes that a change was told.
    pub async fn note_told(&self, change: &StateChange) -> Result<(), SyncError> {
        let mut batch = Batch::new();
        let told = Told { state: change.now.state, acts: change.now.act.is_some() };
        TOLD.put(&mut batch, &change.now.id, &told);
        self.store.commit(batch).await?;
        Ok(())
    }
}

/// Forgets what was told of an account that is removed.
pub(super) fn forget(batch: &mut Batch, account: &AccountId) {
    TOLD.delete(batch, account);
}
