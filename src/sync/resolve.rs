//! A person's word on a conflict, and the events that wait for one.
//!
//! While an event is on hold for a source, our version is served, nothing is sent there, and each later version of theirs takes
//! its place in the conflict. Other sources go on as usual. The hold ends by the person's word, when both sides come to say the
//! same, or when the event is deleted here: then theirs, which nobody here has seen, comes back.

use super::record::ON_HOLD;
use super::{Engine, SyncError};
use crate::calendar::{Conflict, ConflictId, Keep, Pending, PutError, ResolveError as CalendarError};
use crate::id::UserId;
use crate::store::Batch;

/// Why a conflict could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The calendar did not take it.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The engine's own rows failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl Engine {
    /// Resolves a conflict: the version kept is served and goes to the providers.
    pub async fn resolve(&self, user: &UserId, id: ConflictId, keep: Keep) -> Result<Vec<Pending>, ResolveError> {
        let conflict = self.calendars.conflict(user, id).await.map_err(SyncError::from)?;
        let conflict: Conflict = conflict.ok_or(CalendarError::NotFound)?;
        let key = (conflict.source.clone(), conflict.event);
        let mut also = Batch::new();
        let hold = ON_HOLD.get(&*self.store, &key).await.map_err(SyncError::from)?;
        if let Some(hold) = hold.filter(|hold| hold.conflict == id) {
            ON_HOLD.expect(&mut also, &key, &hold);
            ON_HOLD.delete(&mut also, &key);
        }
        match self.calendars.resolve(user, id, keep, &also).await {
            // Only the hold itself can have changed so often; then the conflict is another by now.
            Err(CalendarError::Put(PutError::Stale)) => Err(SyncError::Stale.into()),
            result => Ok(result?),
        }
    }
}
