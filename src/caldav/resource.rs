//! Resources as properties see them: what is there, read once before anything is written about it.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::calendar::plain::Node;
use crate::calendar::{Collection, DeadProperty, Entry, Message, Owner};
use crate::dav::Href;
use crate::ical;
use crate::id::{CollectionId, CollectionName, Place, UserId};
use crate::push::Pushes;

use super::path::Path;
use super::{Failure, Service};

/// A resource that exists.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its place.
    pub path: Path,
    /// What it is.
    pub resource: Resource,
    /// What clients have stored on it, if it was asked for.
    pub dead: Vec<DeadProperty>,
    /// Its calendar data in the form that was asked, if it was.
    pub data: Option<Bytes>,
    /// Its Schedule-Tag, if it was asked for and there is one.
    pub schedule_tag: Option<String>,
}

/// What a resource is, with the state that properties show.
#[derive(Clone, Debug)]
pub enum Resource {
    /// The upper collections: the root, that of principals, that of homes.
    Upper,
    /// A user as a principal.
    Principal,
    /// A calendar home.
    Home {
        /// Changes when anything in it does.
        ctag: String,
    },
    /// Where scheduling messages come in.
    Inbox {
        /// The calendars that count for free-busy.
        busy: Vec<CollectionId>,
    },
    /// Where scheduling messages go out.
    Outbox,
    /// A calendar.
    Calendar(Arc<CalendarState>),
    /// An object in a calendar.
    Object(Arc<Collection>, Arc<Entry>),
    /// A scheduling message.
    Message(Arc<Message>),
    /// A plain file or folder.
    Plain(Arc<Node>),
}

/// A calendar and where it stands.
#[derive(Clone, Debug)]
pub struct CalendarState {
    /// The calendar.
    pub row: Collection,
    /// Apple's ctag.
    pub ctag: String,
    /// The sync token.
    pub token: String,
}

/// What all answers to one visitor share.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who asks.
    pub user: UserId,
    /// Their calendar addresses, the preferred one first.
    pub addresses: Vec<String>,
    /// What an object may be.
    pub limits: ical::Limits,
    /// Whether the visitor may change nothing.
    pub read_only: bool,
    /// How changes are told.
    pub push: Option<Arc<Pushes>>,
}

impl Subject {
    /// Where it is.
    pub fn href(&self) -> Href {
        match (&self.path, &self.resource) {
            (Path::Plain(user, path), Resource::Plain(node)) if node.is_folder() => {
                let names = path.names().iter().map(String::as_str);
                Href::collection(["dav", "files", user.as_str()].into_iter().chain(names))
            }
            (path, _) => path.href(),
        }
    }

    fn bare(path: Path, resource: Resource) -> Self {
        Self { path, resource, dead: Vec::new(), data: None, schedule_tag: None }
    }

    /// An object of a listing.
    pub fn object(row: &Arc<Collection>, entry: Arc<Entry>) -> Self {
        let place = Place { collection: row.id.clone(), name: entry.name.clone() };
        Self::bare(Path::Object(place), Resource::Object(row.clone(), entry))
    }

    /// A scheduling message, with what it says.
    pub fn message(user: &UserId, message: Message) -> Self {
        let data = Some(message.octets.clone());
        let path = Path::Message(user.clone(), message.name.clone());
        Self { data, ..Self::bare(path, Resource::Message(Arc::new(message))) }
    }

    /// Whether clients may store properties on it.
    pub fn keeps_properties(&self) -> bool {
        matches!(self.path, Path::Plain(..)) || self.owner().is_some()
    }

    /// Who owns its dead properties, if it can have any.
    pub fn owner(&self) -> Option<Owner> {
        match &self.path {
            Path::Calendar(id) => Some(Owner::Collection(id.clone())),
            Path::Object(place) => Some(Owner::Object(place.clone())),
            _ => None,
        }
    }
}

impl Facts {
    /// Whether `address` is one of this user's, as clients write it: mailto, or the principal's path.
    pub fn is_own_address(&self, address: &str) -> bool {
        self.addresses.iter().any(|own| own.eq_ignore_ascii_case(address.trim()))
            || Href::parse(address).ok().and_then(|href| Path::of(&href)) == Some(Path::Principal(self.user.clone()))
    }
}

impl Service {
    /// What all answers to `user` share.
    pub(super) fn facts(&self, user: &UserId) -> Facts {
        let name = user.as_str();
        let mail = if name.contains('@') { name.to_owned() } else { format!("{name}@{}", self.settings.mail_domain) };
        Facts {
            user: user.clone(),
            addresses: vec![format!("mailto:{mail}")],
            limits: self.calendars.limits().object,
            read_only: self.scope.read_only,
            push: self.push.clone(),
        }
    }

    /// The resource at `path`, with its dead properties.
    pub(super) async fn subject(&self, path: &Path) -> Result<Subject, Failure> {
        if !self.sees(path) {
            return Err(Failure::NotFound);
        }
        let resource = match path {
            Path::Message(user, name) => {
                let message = self.calendars.inbox_message(user, name).await.map_err(Failure::store)?;
                return Ok(Subject::message(user, message.ok_or(Failure::NotFound)?));
            }
            Path::Plain(user, path) => return self.plain_subject(user, path).await,
            Path::Registration(..) => return Err(Failure::NotFound),
            Path::Root | Path::Principals | Path::Homes => Resource::Upper,
            Path::Principal(_) => Resource::Principal,
            Path::Home(user) => Resource::Home { ctag: self.home_ctag(user).await? },
            Path::Inbox(user) => Resource::Inbox { busy: self.busy_calendars(user).await? },
            Path::Outbox(_) => Resource::Outbox,
            Path::Calendar(id) => Resource::Calendar(Arc::new(self.calendar(id).await?)),
            Path::Object(place) => {
                let row = self.collection(&place.collection).await?;
                let view = self.calendars.view(&place.collection).await.map_err(Failure::store)?;
                let entry = view.get(&place.name).cloned().ok_or(Failure::NotFound)?;
                Resource::Object(Arc::new(row), entry)
            }
        };
        let mut subject = Subject::bare(path.clone(), resource);
        self.load_dead(&mut subject).await?;
        Ok(subject)
    }

    /// Reads what clients have stored on it.
    pub(super) async fn load_dead(&self, subject: &mut Subject) -> Result<(), Failure> {
        if let Some(owner) = subject.owner() {
            subject.dead = self.calendars.properties(&owner).await.map_err(Failure::store)?;
        }
        Ok(())
    }

    /// The collection with this id.
    pub(super) async fn collection(&self, id: &CollectionId) -> Result<Collection, Failure> {
        self.calendars.collection(id).await.map_err(Failure::store)?.ok_or(Failure::NotFound)
    }

    /// All members of a home that are collections, scheduling ones first.
    pub(super) async fn home_members(&self, user: &UserId) -> Result<Vec<Path>, Failure> {
        let mut members = vec![Path::Inbox(user.clone()), Path::Outbox(user.clone())];
        let mut rows = self.calendars.collections(user).await.map_err(Failure::store)?;
        // The unified calendar comes first: some programs take the first they see for the default.
        rows.sort_by_key(|row| (!row.id.name.is_unified(), row.id.name.clone()));
        members.extend(rows.into_iter().map(|row| Path::Calendar(row.id)));
        members.retain(|member| self.sees(member));
        Ok(members)
    }

    async fn calendar(&self, id: &CollectionId) -> Result<CalendarState, Failure> {
        let row = self.collection(id).await?;
        let ctag = self.calendars.ctag(id).await.map_err(Failure::store)?;
        let token = self.calendars.token(id).await.map_err(Failure::store)?.to_string();
        Ok(CalendarState { row, ctag, token })
    }

    /// Changes with every calendar's content, and with the calendars themselves (iOS looks no further if it does not).
    async fn home_ctag(&self, user: &UserId) -> Result<String, Failure> {
        use sha2::Digest as _;
        let rows = self.calendars.collections(user).await.map_err(Failure::store)?;
        let mut digest = sha2::Sha256::new();
        for row in rows.into_iter().filter(|row| self.sees(&Path::Calendar(row.id.clone()))) {
            let ctag = self.calendars.ctag(&row.id).await.map_err(Failure::store)?;
            digest.update(format!("{row:?}\n{ctag}\n"));
        }
        let mut text = String::with_capacity(32);
        for octet in digest.finalize().iter().take(16) {
            // Writing to a String can't fail.
            let _fine = write!(text, "{octet:02x}").is_ok();
        }
        Ok(text)
    }

    /// The calendars whose events take time: the unified one stands for all that it unites.
    pub(super) async fn busy_calendars(&self, user: &UserId) -> Result<Vec<CollectionId>, Failure> {
        let rows = self.calendars.collections(user).await.map_err(Failure::store)?;
        let unified = CollectionId::new(user, CollectionName::unified());
        let alone = rows.into_iter().filter(|row| !row.unify && !row.transparent && row.id != unified);
        Ok([unified.clone()].into_iter().chain(alone.map(|row| row.id)).collect())
    }
}
