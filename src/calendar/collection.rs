//! Collections: what a user's home holds, and how its members come and go.
//!
//! `unified` and `local` are made on the first look into a home. Accounts attach and detach the collections of their
//! sources; clients make and delete calendars of their own, which stand alone and are in no unified view.
//!
//! Emptying a collection takes several commits. It is first marked as closing, and from then on it is hidden and takes no write;
//! whatever interrupts the rest, the next attempt (or the next creation of that name) finishes it. Its change log and
//! its counter stay, so that an old sync token is never mistaken for one of a later collection of that name.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::draft::Draft;
use crate::calendar::intent::Cause;
use crate::calendar::record::{
    ADDRESSES, AddressesRow, Author, COLLECTIONS, Change, ENTRIES, INTENTS, PROPERTIES, SETTINGS, SettingsRow, Space,
    kind_codes, millis,
};
use crate::calendar::{ATTEMPTS, Calendars, PutError, Refusal};
use crate::ical::ComponentKind;
use crate::id::{AccountId, CollectionId, CollectionName, SourceId, UserId};
use crate::store::{Batch, CommitError, StoreError};

/// A calendar collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its owner and path segment.
    pub id: CollectionId,
    /// Where its events come from.
    pub kind: CollectionKind,
    /// Its name for people.
    pub display_name: String,
    /// `#RRGGBB`, as clients write it.
    pub color: Option<String>,
    /// Apple's calendar-order.
    pub order: Option<i64>,
    /// What it is for.
    pub description: Option<String>,
    /// CALDAV:calendar-timezone: a VCALENDAR with one VTIMEZONE.
    pub timezone: Option<String>,
    /// What kinds it holds.
    #[serde(with = "kind_codes")]
    pub components: Vec<ComponentKind>,
    /// Which way changes travel to and from its source.
    pub mirror: Mirror,
    /// Whether its events are part of the unified calendar.
    pub unify: bool,
    /// Whether its events count as free time (CALDAV:schedule-calendar-transp).
    pub transparent: bool,
    /// When it was made.
    #[serde(with = "millis")]
    pub created: Timestamp,
    /// What others than its owner see of it.
    pub privacy: Privacy,
    /// It is being emptied and will be gone.
    pub(crate) closing: bool,
}

impl Collection {
    /// Whether clients may write objects into it. In the unified one that depends on the object.
    pub fn is_writable(&self) -> bool {
        match self.kind {
            CollectionKind::Unified | CollectionKind::Local => true,
            CollectionKind::Source(_) => self.mirror == Mirror::TwoWay,
        }
    }

    /// Whether it holds components of this kind.
    pub fn holds(&self, kind: ComponentKind) -> bool {
        self.components.contains(&kind)
    }

    /// The source behind it.
    pub fn source(&self) -> Option<&SourceRef> {
        match &self.kind {
            CollectionKind::Source(source) => Some(source),
            CollectionKind::Unified | CollectionKind::Local => None,
        }
    }

    /// Where the UIDs of its events are unique.
    pub fn space(&self) -> Space {
        if self.unify { Space::Unified } else { Space::Own(self.id.name.clone()) }
    }
}

/// Where a collection's events come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollectionKind {
    /// All events of the collections that are unified.
    Unified,
    /// One remote calendar.
    Source(SourceRef),
    /// The gateway alone.
    Local,
}

/// The remote calendar behind a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef {
    /// The account, whose id names the lane of its jobs.
    pub account: AccountId,
    /// The source.
    pub source: SourceId,
}

/// Which way changes travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mirror {
    /// Both ways.
    #[default]
    TwoWay,
    /// Only from the source to here.
    ReadOnly,
    /// Not at all; what is here stays and can't be written.
    Off,
}

/// What others than the owner see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privacy {
    /// Everything.
    #[default]
    Full,
    /// Only when time is taken.
    Busy,
}

/// What MKCALENDAR may say.
#[derive(Clone, Debug, Default)]
pub struct NewCollection {
    /// Its name for people; the path segment if none is given.
    pub display_name: Option<String>,
    /// Its colour.
    pub color: Option<String>,
    /// Its place in lists.
    pub order: Option<i64>,
    /// What it is for.
    pub description: Option<String>,
    /// Its VTIMEZONE.
    pub timezone: Option<String>,
    /// What kinds it shall hold; events, tasks and journals if none is named.
    pub components: Vec<ComponentKind>,
    /// Whether its events count as free time.
    pub transparent: bool,
}

/// The collection of a source.
#[derive(Clone, Debug)]
pub struct NewSourceCollection {
    /// Whose it is.
    pub user: UserId,
    /// The remote calendar; it also names the collection.
    pub source: SourceRef,
    /// Its name for people.
    pub display_name: String,
    /// Its colour.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What kinds the provider holds there.
    pub components: Vec<ComponentKind>,
    /// Which way changes travel: `ReadOnly` when the provider takes none.
    pub mirror: Mirror,
    /// Whether its events are part of the unified calendar.
    pub unify: bool,
}

/// New values for some traits of a collection; `None` leaves as it is.
///
/// Whether a collection is unified can't be changed: its events would have to move between spaces.
/// Detaching and attaching again does it.
#[derive(Clone, Debug, Default)]
pub struct CollectionChange {
    /// Its name for people.
    pub display_name: Option<String>,
    /// Its colour, or none.
    pub color: Option<Option<String>>,
    /// Its place in lists, or none.
    pub order: Option<Option<i64>>,
    /// What it is for, or nothing.
    pub description: Option<Option<String>>,
    /// Its VTIMEZONE, or none.
    pub timezone: Option<Option<String>>,
    /// Which way changes travel.
    pub mirror: Option<Mirror>,
    /// Whether its events count as free time.
    pub transparent: Option<bool>,
    /// What others see.
    pub privacy: Option<Privacy>,
    /// What kinds it holds.
    pub components: Option<Vec<ComponentKind>>,
}

impl CollectionChange {
    fn change(self, row: &mut Collection) {
        fn set<T>(slot: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *slot = value;
            }
        }
        set(&mut row.display_name, self.display_name);
        set(&mut row.color, self.color);
        set(&mut row.order, self.order);
        set(&mut row.description, self.description);
        set(&mut row.timezone, self.timezone);
        set(&mut row.mirror, self.mirror);
        set(&mut row.transparent, self.transparent);
        set(&mut row.privacy, self.privacy);
        set(&mut row.components, self.components);
    }
}

impl Calendars {
    /// The collections of a user, by name. The two that everybody has are made if they are missing.
    pub async fn collections(&self, user: &UserId) -> Result<Vec<Collection>, StoreError> {
        let mut rows = self.collection_rows(user).await?;
        for name in [CollectionName::unified(), CollectionName::local()] {
            if !rows.iter().any(|row| row.id.name == name) {
                rows.push(self.make_default(user, name).await?);
            }
        }
        rows.retain(|row| !row.closing && !row.id.name.is_notices());
        rows.sort_by(|a, b| a.id.name.cmp(&b.id.name));
        Ok(rows)
    }

    /// One collection.
    pub async fn collection(&self, id: &CollectionId) -> Result<Option<Collection>, StoreError> {
        let row = COLLECTIONS.get(&*self.store, id).await?;
        if row.is_none() && (id.name.is_unified() || id.name == CollectionName::local()) {
            return self.make_default(&id.user, id.name.clone()).await.map(Some);
        }
        Ok(row.filter(|row| !row.closing))
    }

    /// Makes a calendar that stands alone.
    pub async fn create_local(&self, id: &CollectionId, new: NewCollection) -> Result<Collection, PutError> {
        if is_reserved(&id.name) {
            let taken = self.collection(id).await?.is_some();
            return Err(if taken { Refusal::Exists } else { Refusal::Reserved }.into());
        }
        if let Some(left_over) = COLLECTIONS.get(&*self.store, id).await? {
            if !left_over.closing {
                return Err(Refusal::Exists.into());
            }
            self.empty_and_remove(&left_over).await?;
        }
        if self.collections(&id.user).await?.len() >= self.limits.collections {
            return Err(Refusal::Full.into());
        }
        let mut row = self.blank(id, CollectionKind::Local);
        row.display_name = new.display_name.unwrap_or_else(|| id.name.to_string());
        row.color = new.color;
        row.order = new.order;
        row.description = new.description;
        row.timezone = new.timezone;
        row.transparent = new.transparent;
        if !new.components.is_empty() {
            row.components = new.components;
        }
        let mut batch = Batch::new();
        COLLECTIONS.expect_absent(&mut batch, id);
        COLLECTIONS.put(&mut batch, id, &row);
        match self.store.commit(batch).await {
            Ok(_) => Ok(row),
            Err(CommitError::Stale(_)) => Err(Refusal::Exists.into()),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Makes the collection of a source, or returns the one that is there. The first that can hold new events
    /// becomes the default for them.
    pub async fn attach(&self, new: NewSourceCollection) -> Result<Collection, PutError> {
        let id = CollectionId::new(&new.user, new.source.source.collection());
        self.collections(&new.user).await?;
        for _ in 0..ATTEMPTS {
            match COLLECTIONS.get(&*self.store, &id).await? {
                Some(row) if row.closing => self.empty_and_remove(&row).await?,
                Some(row) => return Ok(row),
                None => {}
            }
            let mut row = self.blank(&id, CollectionKind::Source(new.source.clone()));
            row.display_name.clone_from(&new.display_name);
            row.color.clone_from(&new.color);
            row.description.clone_from(&new.description);
            row.components.clone_from(&new.components);
            row.mirror = new.mirror;
            row.unify = new.unify;
            let mut batch = Batch::new();
            COLLECTIONS.expect_absent(&mut batch, &id);
            COLLECTIONS.put(&mut batch, &id, &row);
            self.log(&mut batch, &CollectionId::new(&new.user, CollectionName::unified()), Change::Rights);
            if can_be_default(&row) {
                self.set_default_if_none(&mut batch, &row).await?;
            }
            match self.store.commit(batch).await {
                Ok(_) => return Ok(row),
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PutError::Stale)
    }

    /// Removes the collection of a source with all that only it held. Nothing of this goes to the provider.
    pub async fn detach(&self, user: &UserId, source: &SourceId) -> Result<(), PutError> {
        let id = CollectionId::new(user, source.collection());
        if let Some(row) = COLLECTIONS.get(&*self.store, &id).await? {
            self.empty_and_remove(&row).await?;
        }
        Ok(())
    }

    /// Deletes a calendar that a client made, with its events.
    pub async fn delete_collection(&self, id: &CollectionId) -> Result<(), PutError> {
        let row = self.collection(id).await?.ok_or(PutError::NotFound)?;
        if row.kind != CollectionKind::Local || is_reserved(&id.name) {
            return Err(Refusal::Protected.into());
        }
        self.empty_and_remove(&row).await
    }

    /// Changes some traits of a collection.
    pub async fn update(&self, id: &CollectionId, change: CollectionChange) -> Result<Collection, PutError> {
        for _ in 0..ATTEMPTS {
            let old = self.collection(id).await?.ok_or(PutError::NotFound)?;
            let mut row = old.clone();
            change.clone().change(&mut row);
            if row == old {
                return Ok(row);
            }
            let mut batch = Batch::new();
            COLLECTIONS.expect(&mut batch, id, &old);
            COLLECTIONS.put(&mut batch, id, &row);
            if row.is_writable() != old.is_writable() {
                self.log(&mut batch, id, Change::Rights);
                self.log(&mut batch, &CollectionId::new(&id.user, CollectionName::unified()), Change::Rights);
            }
            match self.store.commit(batch).await {
                Ok(_) => return Ok(row),
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PutError::Stale)
    }

    /// The collection that a new event of the unified calendar goes to.
    pub async fn default_collection(&self, user: &UserId) -> Result<Collection, StoreError> {
        let chosen = SETTINGS.get(&*self.store, user).await?.and_then(|settings| settings.default);
        if let Some(name) = chosen {
            let row = self.collection(&CollectionId::new(user, name)).await?;
            if let Some(row) = row.filter(can_be_default) {
                return Ok(row);
            }
        }
        self.make_or_get_local(user).await
    }

    /// The source that a new event of the unified calendar goes to; `None` is the gateway itself.
    pub async fn default_source(&self, user: &UserId) -> Result<Option<SourceId>, StoreError> {
        Ok(self.default_collection(user).await?.source().map(|source| source.source.clone()))
    }

    /// Chooses where new events of the unified calendar go; `None` is the gateway itself.
    pub async fn set_default_source(&self, user: &UserId, source: Option<&SourceId>) -> Result<(), PutError> {
        let name = source.map_or_else(CollectionName::local, SourceId::collection);
        let row = self.collection(&CollectionId::new(user, name.clone())).await?;
        match row {
            None => return Err(Refusal::ParentMissing.into()),
            Some(row) if !row.is_writable() => return Err(Refusal::ReadOnly.into()),
            Some(row) if !can_be_default(&row) => return Err(Refusal::WrongComponent.into()),
            Some(_) => {}
        }
        let mut batch = Batch::new();
        SETTINGS.put(&mut batch, user, &SettingsRow { default: Some(name) });
        self.store.commit(batch).await?;
        Ok(())
    }

    /// Says under which addresses the account behind a collection is organizer or guest: they decide which copy of a meeting leads.
    pub async fn set_addresses(&self, id: &CollectionId, addresses: &[String]) -> Result<(), PutError> {
        let mut addresses: Vec<String> = addresses.iter().map(|one| one.trim().to_ascii_lowercase()).collect();
        for address in &mut addresses {
            if let Some(bare) = address.strip_prefix("mailto:") {
                *address = bare.to_owned();
            }
        }
        let row = AddressesRow { addresses };
        if ADDRESSES.get(&*self.store, id).await?.unwrap_or_default() == row {
            return Ok(());
        }
        let mut batch = Batch::new();
        ADDRESSES.put(&mut batch, id, &row);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// All rows, closing ones too.
    pub(crate) async fn collection_rows(&self, user: &UserId) -> Result<Vec<Collection>, StoreError> {
        let rows = COLLECTIONS.scan(&*self.store, COLLECTIONS.range(user), usize::MAX).await?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// Appends to a collection's change log.
    pub(crate) fn log(&self, batch: &mut Batch, id: &CollectionId, what: Change) {
        crate::calendar::changes::append(batch, id, self.clock.now(), what);
    }

    async fn make_or_get_local(&self, user: &UserId) -> Result<Collection, StoreError> {
        let id = CollectionId::new(user, CollectionName::local());
        match COLLECTIONS.get(&*self.store, &id).await? {
            Some(row) => Ok(row),
            None => self.make_default(user, id.name).await,
        }
    }

    /// Makes the collection of notices, if it is not there yet.
    pub(crate) async fn make_notices(&self, user: &UserId) -> Result<(), StoreError> {
        let id = CollectionId::new(user, CollectionName::notices());
        match COLLECTIONS.get(&*self.store, &id).await? {
            Some(_) => Ok(()),
            None => self.make_default(user, id.name).await.map(drop),
        }
    }

    /// Two who come first at once agree on the row of the faster one.
    async fn make_default(&self, user: &UserId, name: CollectionName) -> Result<Collection, StoreError> {
        let id = CollectionId::new(user, name);
        let mut row = if id.name.is_unified() {
            let mut row = self.blank(&id, CollectionKind::Unified);
            "All calendars".clone_into(&mut row.display_name);
            row.components = vec![ComponentKind::Event];
            row
        } else {
            let mut row = self.blank(&id, CollectionKind::Local);
            let shown = if id.name.is_notices() { "LinearTime" } else { "Local" };
            shown.clone_into(&mut row.display_name);
            row
        };
        row.unify = true;
        let mut batch = Batch::new();
        COLLECTIONS.expect_absent(&mut batch, &id);
        COLLECTIONS.put(&mut batch, &id, &row);
        match self.store.commit(batch).await {
            Ok(_) => Ok(row),
            Err(CommitError::Stale(_)) => Ok(COLLECTIONS.get(&*self.store, &id).await?.unwrap_or(row)),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    fn blank(&self, id: &CollectionId, kind: CollectionKind) -> Collection {
        Collection {
            id: id.clone(),
            kind,
            display_name: String::new(),
            color: None,
            order: None,
            description: None,
            timezone: None,
            components: vec![ComponentKind::Event, ComponentKind::Todo, ComponentKind::Journal],
            mirror: Mirror::TwoWay,
            unify: false,
            transparent: false,
            created: self.clock.now(),
            privacy: Privacy::Full,
            closing: false,
        }
    }

    async fn set_default_if_none(&self, batch: &mut Batch, row: &Collection) -> Result<(), StoreError> {
        let user = &row.id.user;
        let settings = SETTINGS.get(&*self.store, user).await?;
        match &settings {
            Some(old) => SETTINGS.expect(batch, user, old),
            None => SETTINGS.expect_absent(batch, user),
        }
        let settings = settings.unwrap_or_default();
        if settings.default.is_none() {
            SETTINGS.put(batch, user, &SettingsRow { default: Some(row.id.name.clone()) });
        }
        Ok(())
    }

    pub(crate) async fn empty_and_remove(&self, row: &Collection) -> Result<(), PutError> {
        self.close_collection(&row.id).await?;
        let author = match row.source() {
            Some(source) => Author::Provider(source.source.clone()),
            None => Author::Person(row.id.user.clone()),
        };
        while self.remove_some(row, &author).await? {}
        if let Some(source) = row.source() {
            self.drop_intents(&source.source).await?;
        }
        self.remove_row(row).await
    }

    async fn close_collection(&self, id: &CollectionId) -> Result<(), PutError> {
        for _ in 0..ATTEMPTS {
            let Some(old) = COLLECTIONS.get(&*self.store, id).await? else { return Ok(()) };
            if old.closing {
                return Ok(());
            }
            let mut batch = Batch::new();
            COLLECTIONS.expect(&mut batch, id, &old);
            COLLECTIONS.put(&mut batch, id, &Collection { closing: true, ..old });
            match self.store.commit(batch).await {
                Err(CommitError::Stale(_)) => {}
                result => return result.map(drop).map_err(PutError::from),
            }
        }
        Err(PutError::Stale)
    }

    /// Takes a portion of events out of the collection; says whether there may be more.
    async fn remove_some(&self, row: &Collection, author: &Author) -> Result<bool, PutError> {
        let entries = ENTRIES.scan(&*self.store, ENTRIES.range(&row.id), PORTION).await?;
        if entries.is_empty() {
            return Ok(false);
        }
        let mut draft = Draft::new(self, &row.id.user, author.clone(), Cause::Delete);
        for (_, entry) in entries {
            draft.leave(entry.event, &row.id.name).await?;
        }
        match draft.commit(Batch::new()).await {
            // Somebody wrote one of them meanwhile: look again. The collection is closing, so this comes to an end.
            Ok(_) | Err(PutError::Stale) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn drop_intents(&self, source: &SourceId) -> Result<(), PutError> {
        loop {
            let rows = INTENTS.scan(&*self.store, INTENTS.range(source), PORTION).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for (key, _) in &rows {
                INTENTS.delete(&mut batch, key);
            }
            self.store.commit(batch).await?;
        }
    }

    async fn remove_row(&self, row: &Collection) -> Result<(), PutError> {
        let user = &row.id.user;
        let mut batch = Batch::new();
        COLLECTIONS.delete(&mut batch, &row.id);
        ADDRESSES.delete(&mut batch, &row.id);
        self.log(&mut batch, &CollectionId::new(user, CollectionName::unified()), Change::Rights);
        for (key, _) in PROPERTIES.scan(&*self.store, PROPERTIES.range(&row.id), usize::MAX).await? {
            PROPERTIES.delete(&mut batch, &key);
        }
        let settings = SETTINGS.get(&*self.store, user).await?;
        if settings.as_ref().and_then(|settings| settings.default.as_ref()) == Some(&row.id.name) {
            let mut others = self.collections(user).await?;
            others.retain(|other| other.source().is_some() && can_be_default(other));
            others.sort_by_key(|other| other.created);
            let default = others.into_iter().next().map(|other| other.id.name);
            SETTINGS.put(&mut batch, user, &SettingsRow { default });
        }
        self.store.commit(batch).await?;
        self.views.remove(&row.id);
        Ok(())
    }
}

/// Whether a new event of the unified calendar can go there.
pub(crate) fn can_be_default(row: &Collection) -> bool {
    let holds_events = row.unify && row.holds(ComponentKind::Event);
    !row.closing
        && !row.id.name.is_notices()
        && holds_events
        && row.is_writable()
        && row.kind != CollectionKind::Unified
}

/// Names that no client may take or free: ours, the scheduling collections, and those of sources.
fn is_reserved(name: &CollectionName) -> bool {
    let text = name.as_str();
    ["unified", "local", "inbox", "outbox", "lineartime-notices"].iter().any(|own| text.eq_ignore_ascii_case(own))
        || text.parse::<SourceId>().is_ok()
}

/// Events taken out of a closing collection by one commit.
const PORTION: usize = 500;
