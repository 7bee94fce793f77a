//! The sources of an account, kept in step with the provider's list of calendars.
//!
//! Invariant: a list is believed when it names something, and doubted when it leaves something out: a source that is
//! missing twice in a row is frozen, and none is ever removed by it (fault catalogue 87 and 88).

use bytes::Bytes;

use super::record::{OWNER, RECORD, SOURCE_OWNERS, SOURCES, put_new_source, replace_source};
use super::{Account, AccountError, Accounts, ProviderKind, Source};
use crate::calendar::{CollectionChange, Mirror, NewSourceCollection, SourceRef};
use crate::id::{AccountId, CollectionId, SourceId, UserId};
use crate::provider::{CalendarDetails, RemoteCalendar};
use crate::store::{Batch, CommitError};

/// What a look at the provider's list has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Calendars seen for the first time.
    pub new: Vec<SourceId>,
    /// Those with another name, colour or right than before, or seen again after being missing.
    pub changed: Vec<SourceId>,
    /// Those frozen because the list did not name them twice in a row.
    pub missing: Vec<SourceId>,
    /// Calendars that may be known ones under another id. Nothing was done about them: whoever can look into them says
    /// [`Accounts::rebind`] or [`Accounts::add_calendar`].
    pub alike: Vec<Alike>,
}

/// A calendar that is new under its id and like one that the list no longer names: services change ids (fault catalogue 20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// The source that is missing.
    pub source: SourceId,
    /// The calendar that may be it.
    pub calendar: RemoteCalendar,
}

impl Accounts {
    /// The sources of a person, by id.
    pub async fn sources(&self, user: &UserId) -> Result<Vec<Source>, AccountError> {
        let range = SOURCES.range(&(RECORD, user.clone()));
        Ok(SOURCES.scan(&*self.rows.store, range, usize::MAX).await?.into_iter().map(|(_, source)| source).collect())
    }

    /// The sources of an account.
    pub async fn sources_of(&self, account: &Account) -> Result<Vec<Source>, AccountError> {
        let mut sources = self.sources(&account.user).await?;
        sources.retain(|source| source.account == account.id);
        Ok(sources)
    }

    /// One source.
    pub async fn source(&self, id: &SourceId) -> Result<Source, AccountError> {
        let owner = SOURCE_OWNERS.get(&*self.rows.store, &(OWNER, id.clone())).await?.ok_or(AccountError::NotFound)?;
        let source = SOURCES.get(&*self.rows.store, &(RECORD, owner.0, id.clone())).await?;
        source.ok_or(AccountError::NotFound)
    }

    /// Looks at the provider's list: new calendars become sources, known ones take its names and rights.
    pub async fn refresh_sources(&self, id: &AccountId) -> Result<Refreshed, AccountError> {
        let account = self.account(id).await?;
        let provider = self.provider(id).await?;
        let calendars = provider.calendars().await?;
        self.remember_homes(&account, provider.homes()).await?;
        let known = self.sources_of(&account).await?;
        let mut refreshed = Refreshed { alike: alike(&known, &calendars), ..Refreshed::default() };
        for calendar in &calendars {
            match known.iter().find(|source| source.remote == calendar.id) {
                Some(source) => {
                    if self.take_over(source, calendar).await? {
                        refreshed.changed.push(source.id.clone());
                    }
                }
                None if refreshed.alike.iter().any(|one| one.calendar.id == calendar.id) => {}
                None => refreshed.new.extend(self.add_source(&account, calendar).await?),
            }
        }
        for source in known.iter().filter(|source| !calendars.iter().any(|c| c.id == source.remote)) {
            if self.count_absence(source).await? {
                refreshed.missing.push(source.id.clone());
            }
        }
        Ok(refreshed)
    }

    /// The calendar is a new one after all. Its source, unless somebody else was faster to add it.
    pub async fn add_calendar(
        &self,
        id: &AccountId,
        calendar: &RemoteCalendar,
    ) -> Result<Option<SourceId>, AccountError> {
        let account = self.account(id).await?;
        self.add_source(&account, calendar).await
    }

    /// The calendar is the source under another id: the source stands for it from now on, with all that it has.
    pub async fn rebind(&self, alike: &Alike) -> Result<(), AccountError> {
        let old = self.source(&alike.source).await?;
        let new = Source { remote: alike.calendar.id.clone(), ..renewed(&old, &alike.calendar) };
        self.show(&old, &new).await?;
        let stored = self.stored(&old).await?;
        let mut batch = Batch::new();
        replace_source(&mut batch, (&old, stored), &new);
        self.rows.store.commit(batch).await?;
        Ok(())
    }

    /// Makes the collection of a source, or leaves the one that is there.
    pub(super) async fn attach(&self, source: &Source, calendar: &RemoteCalendar) -> Result<(), AccountError> {
        let new = NewSourceCollection {
            user: source.user.clone(),
            source: SourceRef { account: source.account.clone(), source: source.id.clone() },
            display_name: calendar.name.clone(),
            color: calendar.color.clone(),
            description: calendar.description.clone(),
            components: calendar.components.clone(),
            mirror: mirror(calendar.read_only, &calendar.details),
            // When somebody is busy is no event beside the events that say with what.
            unify: !calendar.details.busy_only,
        };
        self.calendars.attach(new).await?;
        Ok(())
    }

    /// The new source, unless somebody else was faster to add it.
    async fn add_source(&self, account: &Account, calendar: &RemoteCalendar) -> Result<Option<SourceId>, AccountError> {
        let source = self.new_source(account, calendar);
        let mut batch = Batch::new();
        put_new_source(&mut batch, &source);
        match self.rows.store.commit(batch).await {
            Ok(_) => {}
            Err(CommitError::Stale(_)) => return Ok(None),
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
        self.attach(&source, calendar).await?;
        Ok(Some(source.id))
    }

    /// Takes the provider's view of a known source. Whether anything is new.
    async fn take_over(&self, old: &Source, calendar: &RemoteCalendar) -> Result<bool, AccountError> {
        // A collection that was never made, because the process ended just then, is made now.
        self.attach(old, calendar).await?;
        let source = renewed(old, calendar);
        if source == *old {
            return Ok(false);
        }
        self.show(old, &source).await?;
        self.replace(old, &source).await?;
        Ok(true)
    }

    /// Passes on to the collection what the provider changed, unless a person has set it otherwise there.
    async fn show(&self, old: &Source, new: &Source) -> Result<(), AccountError> {
        let id = CollectionId::new(&new.user, new.collection.clone());
        let Some(shown) = self.calendars.collection(&id).await? else { return Ok(()) };
        let mut change = CollectionChange::default();
        if shown.display_name == old.name {
            change.display_name = Some(new.name.clone());
        }
        if shown.color == old.color {
            change.color = Some(new.color.clone());
        }
        if shown.mirror == mirror(old.read_only, &old.details) {
            change.mirror = Some(mirror(new.read_only, &new.details));
        }
        self.calendars.update(&id, change).await?;
        Ok(())
    }

    /// Notes that a list did not name the source. Whether that makes it missing.
    async fn count_absence(&self, old: &Source) -> Result<bool, AccountError> {
        let mut source = old.clone();
        source.absences = old.absences.saturating_add(1).min(ABSENCES);
        source.missing = source.absences >= ABSENCES;
        if source != *old {
            self.replace(old, &source).await?;
        }
        Ok(source.missing && !old.missing)
    }

    /// The octets of the row, if it is still `old`: they may be of an older format than it would be written in.
    async fn stored(&self, old: &Source) -> Result<Bytes, AccountError> {
        let key = (RECORD, old.user.clone(), old.id.clone());
        let stored = SOURCES.get_as_stored(&*self.rows.store, &key).await?;
        stored.filter(|(now, _)| now == old).map(|(_, octets)| octets).ok_or(AccountError::Stale)
    }

    async fn replace(&self, old: &Source, new: &Source) -> Result<(), AccountError> {
        let key = (RECORD, old.user.clone(), old.id.clone());
        let octets = self.stored(old).await?;
        let mut batch = Batch::new();
        SOURCES.expect_bytes(&mut batch, &key, Some(octets));
        SOURCES.put(&mut batch, &key, new);
        self.rows.store.commit(batch).await?;
        Ok(())
    }

    #[expect(clippy::manual_let_else, reason = "the other arms say more")]
    async fn remember_homes(&self, account: &Account, found: Vec<String>) -> Result<(), AccountError> {
        let known = match &account.provider {
            ProviderKind::CalDav { homes, .. } | ProviderKind::ICloud { homes, .. } => homes,
            _ => return Ok(()),
        };
        if *known != found && !found.is_empty() {
            self.rows
                .change(&account.id, |row| {
                    if let ProviderKind::CalDav { homes, .. } | ProviderKind::ICloud { homes, .. } =
                        &mut row.account.provider
                    {
                        homes.clone_from(&found);
                    }
                })
                .await?;
        }
        Ok(())
    }
}

/// The source as the provider describes it now.
fn renewed(old: &Source, calendar: &RemoteCalendar) -> Source {
    Source {
        name: calendar.name.clone(),
        color: calendar.color.clone(),
        read_only: calendar.read_only,
        details: calendar.details.clone(),
        missing: false,
        absences: 0,
        ..old.clone()
    }
}

/// Unknown calendars that are like one missing source each, and it like no other of them.
fn alike(known: &[Source], calendars: &[RemoteCalendar]) -> Vec<Alike> {
    let is_like = |source: &Source, calendar: &RemoteCalendar| {
        source.name == calendar.name
            && source.read_only == calendar.read_only
            && source.details.primary == calendar.details.primary
    };
    let missing: Vec<&Source> =
        known.iter().filter(|source| !calendars.iter().any(|one| one.id == source.remote)).collect();
    let unknown: Vec<&RemoteCalendar> =
        calendars.iter().filter(|one| !known.iter().any(|source| source.remote == one.id)).collect();
    let mut found = Vec::new();
    for calendar in &unknown {
        let mut sources = missing.iter().filter(|source| is_like(source, calendar));
        let (Some(source), None) = (sources.next(), sources.next()) else { continue };
        if unknown.iter().filter(|other| is_like(source, other)).count() == 1 {
            found.push(Alike { source: source.id.clone(), calendar: (*calendar).clone() });
        }
    }
    found
}

/// How a calendar is mirrored until a person says otherwise. One that they have hidden at the provider is not.
fn mirror(read_only: bool, details: &CalendarDetails) -> Mirror {
    match (details.hidden, read_only || details.busy_only) {
        (true, _) => Mirror::Off,
        (false, true) => Mirror::ReadOnly,
        (false, false) => Mirror::TwoWay,
    }
}

/// So many lists in a row must leave a source out.
const ABSENCES: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::RemoteId;

    fn calendar(id: &str, name: &str, primary: bool) -> RemoteCalendar {
        RemoteCalendar {
            id: RemoteId::new(id),
            name: name.to_owned(),
            color: None,
            read_only: false,
            components: Vec::new(),
            description: None,
            details: CalendarDetails { primary, ..CalendarDetails::default() },
        }
    }

    fn source(id: &str, remote: &str, name: &str, primary: bool) -> Source {
        let id: SourceId = id.parse().unwrap();
        Source {
            collection: id.collection(),
            id,
            account: "a-x1".parse().unwrap(),
            user: UserId::parse("ana").unwrap(),
            remote: RemoteId::new(remote),
            name: name.to_owned(),
            color: None,
            read_only: false,
            details: CalendarDetails { primary, ..CalendarDetails::default() },
            missing: false,
            absences: 0,
        }
    }

    #[test]
    fn only_what_is_like_one_missing_calendar_and_no_other_may_be_it() {
        let known =
            [source("s-1", "1", "Work", true), source("s-2", "2", "Home", false), source("s-3", "3", "Home", false)];
        let found = |calendars: &[RemoteCalendar]| {
            let found = alike(&known, calendars).into_iter();
            found.map(|one| format!("{} {}", one.source, one.calendar.id)).collect::<Vec<_>>()
        };
        let (home, other_home) = (calendar("2", "Home", false), calendar("3", "Home", false));
        let none: [&str; 0] = [];
        assert_eq!(found(&[calendar("9", "Work", true), home.clone(), other_home.clone()]), ["s-1 9"]);
        assert_eq!(found(&[calendar("9", "Work", false), home.clone(), other_home.clone()]), none, "not the main one");
        assert_eq!(
            found(&[calendar("1", "Work", true), calendar("9", "Work", true)]),
            none,
            "nothing like it is missing"
        );
        assert_eq!(found(&[calendar("8", "Work", true), calendar("9", "Work", true)]), none, "two of them");
        assert_eq!(found(&[calendar("1", "Work", true), calendar("9", "Home", false)]), none, "two are missing");
        assert_eq!(found(&[calendar("1", "Work", true), home, calendar("9", "Home", false)]), ["s-3 9"]);
        assert_eq!(found(&[]), none);
    }
}
