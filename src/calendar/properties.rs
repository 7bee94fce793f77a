//! Dead properties: what clients store on resources and we only keep (RFC 4918 4, 9.2).
//!
//! All of a resource's stand in one row, so a PROPPATCH is one write, all or nothing. They go when the resource goes.

use std::fmt;

use bytes::Bytes;

use crate::calendar::record::{COLLECTIONS, ENTRIES, PROPERTIES, PropertiesRow};
use crate::calendar::{ATTEMPTS, Calendars, PutError, Refusal};
use crate::id::{CollectionId, Place};
use crate::store::{Batch, CommitError, StoreError};

/// The resource that has properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A collection.
    Collection(CollectionId),
    /// An object.
    Object(Place),
}

impl Owner {
    fn key(&self) -> (CollectionId, String) {
        match self {
            Self::Collection(id) => (id.clone(), String::new()),
            Self::Object(place) => (place.collection.clone(), place.name.to_string()),
        }
    }

    /// Only what exists has properties.
    fn expect(&self, batch: &mut Batch) {
        match self {
            Self::Collection(id) => COLLECTIONS.expect_present(batch, id),
            Self::Object(place) => {
                ENTRIES.expect_present(batch, &(place.collection.clone(), place.name.clone()));
            }
        }
    }
}

/// A property as a client stored it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadProperty {
    /// Its namespace.
    pub ns: String,
    /// Its name in that.
    pub name: String,
    /// The whole element.
    pub xml: Bytes,
}

impl fmt::Debug for DeadProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeadProperty({} octets)", self.xml.len())
    }
}

/// One step of a PROPPATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyEdit {
    /// Store it, in place of one of the same name.
    Set(DeadProperty),
    /// Remove it, if it is there.
    Remove {
        /// Its namespace.
        ns: String,
        /// Its name in that.
        name: String,
    },
}

impl Calendars {
    /// A resource's dead properties, in the order in which they were first stored.
    pub async fn properties(&self, owner: &Owner) -> Result<Vec<DeadProperty>, StoreError> {
        let row = PROPERTIES.get(&*self.store, &owner.key()).await?.unwrap_or_default();
        Ok(row.properties.into_iter().map(|(ns, name, xml)| DeadProperty { ns, name, xml }).collect())
    }

    /// Makes all of the edits, in order, or none.
    pub async fn set_properties(&self, owner: &Owner, edits: &[PropertyEdit]) -> Result<(), PutError> {
        let key = owner.key();
        for _ in 0..ATTEMPTS {
            let old = self.store.get(&PROPERTIES.key(&key)).await?;
            let mut row = match &old {
                Some(bytes) => PROPERTIES.decode(bytes)?,
                None => PropertiesRow::default(),
            };
            for edit in edits {
                change(&mut row, edit);
            }
            let too_large = row.properties.iter().any(|(_, _, xml)| xml.len() > self.limits.property_size);
            if too_large || row.properties.len() > self.limits.properties {
                return Err(Refusal::PropertiesTooLarge.into());
            }
            let mut batch = Batch::new();
            owner.expect(&mut batch);
            PROPERTIES.expect_bytes(&mut batch, &key, old);
            if row.properties.is_empty() {
                PROPERTIES.delete(&mut batch, &key);
            } else {
                PROPERTIES.put(&mut batch, &key, &row);
            }
            match self.store.commit(batch).await {
                Err(CommitError::Stale(stale)) if stale != PROPERTIES.key(&key) => return Err(PutError::NotFound),
                Err(CommitError::Stale(_)) => {}
                result => return result.map(drop).map_err(PutError::from),
            }
        }
        Err(PutError::Stale)
    }
}

/// Makes one edit.
pub(super) fn change(row: &mut PropertiesRow, edit: &PropertyEdit) {
    let (ns, name) = match edit {
        PropertyEdit::Set(property) => (&property.ns, &property.name),
        PropertyEdit::Remove { ns, name } => (ns, name),
    };
    let place = row.properties.iter().position(|(n, m, _)| n == ns && m == name);
    match (edit, place.and_then(|at| row.properties.get_mut(at))) {
        (PropertyEdit::Set(property), Some(slot)) => slot.2 = property.xml.clone(),
        (PropertyEdit::Set(property), None) => {
            row.properties.push((property.ns.clone(), property.name.clone(), property.xml.clone()));
        }
        (PropertyEdit::Remove { .. }, Some(_)) => row.properties.retain(|(n, m, _)| !(n == ns && m == name)),
        (PropertyEdit::Remove { .. }, None) => {}
    }
}
