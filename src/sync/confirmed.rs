//! The sources of which every link was seen in a listing or asked for since it was made.
//!
//! Only in memory: after a start everything is in doubt, and the first look at each source settles it. It is what lets a
//! quiet look be one request and no reading of rows.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::SourceId;

/// Those sources.
#[derive(Debug, Default)]
pub(super) struct Confirmed(Mutex<HashSet<SourceId>>);

impl Confirmed {
    /// Whether a source is among them.
    pub(super) fn holds(&self, source: &SourceId) -> bool {
        self.lock().contains(source)
    }

    /// Links are being made for a source.
    pub(super) fn doubt(&self, source: &SourceId) {
        self.lock().remove(source);
    }

    /// A whole round was taken in.
    pub(super) fn confirm(&self, source: &SourceId) {
        self.lock().insert(source.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<SourceId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
