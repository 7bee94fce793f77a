//! What an app password is good for.

use serde::{Deserialize, Serialize};

use crate::id::CollectionName;

/// What whoever came in may do, beside being who they are. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Nothing may be changed.
    pub read_only: bool,
    /// Only this calendar is there.
    pub collection: Option<CollectionName>,
}

impl Scope {
    /// Everything that the person may.
    pub const ALL: Self = Self { read_only: false, collection: None };

    /// Whether nothing is out of scope.
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }
}
