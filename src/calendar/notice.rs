//! Notices: all-day entries of the unified calendar that tell its owner to act.
//!
//! They live in a collection of their own that no listing names and that has no source, so they reach no provider; feeds and
//! exports leave out what it leads. Whoever deletes a notice has read it; it comes back only when there is something new to say.

use crate::calendar::record::{Author, COLLECTIONS};
use crate::calendar::{Calendars, Conditions, PutError};
use crate::ical::Object;
use crate::id::{CollectionId, CollectionName, Place, ResourceName, UserId};

impl Calendars {
    /// Shows a notice, or gives the one with this name another content.
    pub async fn post_notice(&self, user: &UserId, name: &ResourceName, object: Object) -> Result<(), PutError> {
        let place = place(user, name);
        self.make_notices(user).await?;
        self.put(&place, object, &Conditions::NONE, &Author::Gateway).await.map(drop)
    }

    /// The notice with this name, unless its reader has deleted it.
    pub async fn notice(&self, user: &UserId, name: &ResourceName) -> Result<Option<Object>, PutError> {
        let place = place(user, name);
        if COLLECTIONS.get(&*self.store, &place.collection).await?.is_none() {
            return Ok(None);
        }
        let view = self.view(&place.collection).await?;
        match view.entries().find(|entry| entry.name == *name) {
            Some(entry) => Ok(Some(Object::clone(&*self.object(&place.collection, entry).await?))),
            None => Ok(None),
        }
    }

    /// Takes a notice away, if it is still there.
    pub async fn withdraw_notice(&self, user: &UserId, name: &ResourceName) -> Result<(), PutError> {
        match self.delete(&place(user, name), &Conditions::NONE, &Author::Gateway).await {
            Ok(_) | Err(PutError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes all notices of a user away: there is nobody left to read them.
    pub async fn drop_notices(&self, user: &UserId) -> Result<(), PutError> {
        let id = CollectionId::new(user, CollectionName::notices());
        match COLLECTIONS.get(&*self.store, &id).await? {
            Some(row) => self.empty_and_remove(&row).await,
            None => Ok(()),
        }
    }
}

fn place(user: &UserId, name: &ResourceName) -> Place {
    Place { collection: CollectionId::new(user, CollectionName::notices()), name: name.clone() }
}
