//! The management commands, each written once: run in the process that owns the store, whether that is the server
//! (asked through its socket) or the command itself.

mod accounts;
mod connect;
pub(crate) mod doctor;
mod events;
mod feeds;
mod people;
mod rules;
pub(crate) mod upkeep;
mod work;

pub(crate) use doctor::{finding, line};
pub(crate) use events::file_name;
pub(crate) use upkeep::restore;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::account::Invitations;
use crate::account::oauth::OAuthService;
use crate::app::Gateway;
use crate::id::UserId;
use crate::vault::Secret;

/// What is asked for. Names are as typed: they are read where the command runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Whether somebody answers at all.
    Ready,
    UserAdd {
        name: String,
        admin: bool,
        password: Password,
    },
    UserList,
    UserPasswd {
        name: String,
        password: Password,
    },
    UserRemove {
        name: String,
    },
    AppPasswordAdd {
        user: String,
        label: String,
        read_only: bool,
        collection: Option<String>,
    },
    AppPasswordList {
        user: String,
    },
    AppPasswordRevoke {
        user: String,
        id: String,
    },
    AccountAdd {
        user: String,
        url: String,
        username: String,
        password: Password,
        label: Option<String>,
    },
    AccountAddICloud {
        user: String,
        username: String,
        password: Password,
        label: Option<String>,
    },
    AccountAddFeed {
        user: String,
        address: Password,
        label: Option<String>,
    },
    AccountAddToken {
        user: String,
        service: OAuthService,
        token: Password,
        label: Option<String>,
    },
    AccountConnect {
        user: String,
        service: OAuthService,
        device: bool,
        label: Option<String>,
        /// Where the command itself listens; else the server's own address.
        redirect: Option<String>,
    },
    AccountConnectAnswer {
        answer: Password,
    },
    AccountConnectWait {
        id: String,
        device: bool,
    },
    AccountSet {
        user: String,
        id: String,
        invitations: Invitations,
    },
    AccountList {
        user: String,
    },
    AccountRemove {
        user: String,
        id: String,
    },
    AccountPause {
        user: String,
        id: String,
    },
    AccountResume {
        user: String,
        id: String,
    },
    SourceList {
        user: String,
    },
    SourceSet {
        user: String,
        id: String,
        change: SourceChange,
    },
    Sync {
        user: String,
        account: Option<String>,
        full: bool,
        wait: bool,
    },
    Status {
        user: Option<String>,
    },
    JobList {
        dead: bool,
    },
    JobRetry {
        id: u64,
    },
    JobRetryAllDead,
    JobDrop {
        id: u64,
    },
    ConflictList {
        user: String,
    },
    ConflictResolve {
        user: String,
        id: String,
        keep: crate::calendar::Keep,
    },
    ConflictStrategy {
        user: String,
        account: Option<String>,
        choice: Choice,
    },
    TrashList {
        user: String,
    },
    TrashRestore {
        user: String,
        uid: String,
    },
    Unmerge {
        user: String,
        uid: String,
        source: String,
    },
    RouteList {
        user: String,
    },
    RouteAdd {
        user: String,
        route: crate::calendar::Route,
    },
    RouteRemove {
        user: String,
        id: usize,
    },
    FeedAdd {
        user: String,
        feed: Box<NewFeed>,
    },
    FeedList {
        user: String,
    },
    FeedRevoke {
        user: String,
        id: String,
    },
    History {
        user: String,
        uid: String,
        revision: Option<u64>,
    },
    Audit {
        user: String,
        last: usize,
    },
    RestoreEvent {
        user: String,
        uid: String,
        revision: u64,
    },
    Import {
        user: String,
        source: Option<String>,
        content: Content,
    },
    Export {
        user: String,
        source: Option<String>,
    },
    Backup {
        folder: PathBuf,
    },
    KeyRotate,
    Doctor,
}

/// What is to be changed about a source.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SourceChange {
    pub(crate) mirror: Option<crate::calendar::Mirror>,
    pub(crate) default: bool,
    pub(crate) confirm_deletions: bool,
    pub(crate) color: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) privacy: Option<crate::calendar::Privacy>,
}

/// What becomes of the choice of a strategy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Choice {
    /// Nothing: it is only told.
    Tell,
    /// It is taken back.
    Inherit,
    /// It is this one.
    Take(crate::sync::Strategy),
}

/// A feed to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewFeed {
    pub(crate) name: String,
    /// The calendars, as typed.
    pub(crate) sources: Vec<String>,
    pub(crate) rules: crate::subscription::Rules,
    pub(crate) expires: Option<jiff::Timestamp>,
}

/// A password on its way through the socket.
#[derive(Serialize, Deserialize)]
pub(crate) struct Password(pub(crate) Zeroizing<String>);

impl Password {
    fn secret(&self) -> Secret {
        Secret::new(self.0.as_bytes())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A file's text on its way through the socket.
#[derive(Serialize, Deserialize)]
pub(crate) struct Content(pub(crate) String);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} octets)", self.0.len())
    }
}

/// What a command has to say.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What `--json` prints.
    pub(crate) document: Value,
    /// What is printed for people; without it the document as a table.
    pub(crate) text: Option<String>,
    /// Warnings, for stderr.
    pub(crate) notes: Vec<String>,
}

impl Answer {
    fn of(document: Value) -> Self {
        Self { document, ..Self::default() }
    }

    fn saying(document: Value, text: impl Into<String>) -> Self {
        Self { document, text: Some(text.into()), ..Self::default() }
    }

    fn list(records: impl IntoIterator<Item = Value>) -> Self {
        Self::of(Value::Array(records.into_iter().collect()))
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// How far a long command is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What is going on.
    pub(crate) message: String,
    /// How much of it is done.
    pub(crate) done: u64,
    /// How much there is; 0 when that is not known.
    pub(crate) total: u64,
}

/// Hears of progress.
pub(crate) type Listener = dyn Fn(Progress) + Send + Sync;

/// Why a command failed: one line that says what to do.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        // Each error says its own part; the cause follows unless it was repeated.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let more = cause.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = cause.source();
        }
        Self(text.replace('\n', " "))
    }
}

fn failed<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(text.into()))
}

/// Does what is asked.
#[expect(clippy::too_many_lines, reason = "one line for each command")]
pub(crate) async fn execute(gateway: &Gateway, request: Request, progress: &Listener) -> Result<Answer, Failure> {
    use Request as R;
    match request {
        R::Ready => Ok(Answer::saying(serde_json::json!({ "ready": true }), "ready")),
        R::UserAdd { name, admin, password } => people::add(gateway, &name, admin, &password.secret()).await,
        R::UserList => people::list(gateway).await,
        R::UserPasswd { name, password } => people::passwd(gateway, &name, &password.secret()).await,
        R::UserRemove { name } => people::remove(gateway, &name).await,
        R::AppPasswordAdd { user, label, read_only, collection } => {
            people::app_password_add(gateway, &user, &label, (read_only, collection)).await
        }
        R::AppPasswordList { user } => people::app_password_list(gateway, &user).await,
        R::AppPasswordRevoke { user, id } => people::app_password_revoke(gateway, &user, id).await,
        R::AccountAdd { user, url, username, password, label } => {
            let new = accounts::New { url, username, password: password.secret(), label };
            accounts::add(gateway, &user, new).await
        }
        R::AccountAddICloud { user, username, password, label } => {
            let new = crate::account::NewICloud { label, username, password: password.secret() };
            accounts::add_icloud(gateway, &user, new).await
        }
        R::AccountAddFeed { user, address, label } => {
            accounts::add_feed(gateway, &user, &address.secret(), label.as_deref()).await
        }
        R::AccountAddToken { user, service, token, label } => {
            connect::add_token(gateway, &user, service, (&token.secret(), label.as_deref())).await
        }
        R::AccountConnect { user, service, device, label, redirect } => {
            connect::begin(gateway, &user, service, connect::Way { device, label, redirect }).await
        }
        R::AccountConnectAnswer { answer } => connect::answer(gateway, &answer.secret()).await,
        R::AccountConnectWait { id, device } => connect::wait(gateway, &id, device).await,
        R::AccountSet { user, id, invitations } => accounts::set(gateway, &user, &id, invitations).await,
        R::AccountList { user } => accounts::list(gateway, &user).await,
        R::AccountRemove { user, id } => accounts::remove(gateway, &user, &id).await,
        R::AccountPause { user, id } => accounts::pause(gateway, &user, &id).await,
        R::AccountResume { user, id } => accounts::resume(gateway, &user, &id).await,
        R::SourceList { user } => accounts::sources(gateway, &user).await,
        R::SourceSet { user, id, change } => accounts::source_set(gateway, &user, &id, change).await,
        R::Sync { user, account, full, wait } => {
            work::sync(gateway, &user, &work::Extent { account, full, wait }, progress).await
        }
        R::Status { user } => work::status(gateway, user.as_deref()).await,
        R::JobList { dead } => work::jobs(gateway, dead).await,
        R::JobRetry { id } => work::retry(gateway, id).await,
        R::JobRetryAllDead => work::retry_all_dead(gateway).await,
        R::JobDrop { id } => work::drop(gateway, id).await,
        R::ConflictList { user } => events::conflicts(gateway, &user).await,
        R::ConflictResolve { user, id, keep } => events::resolve(gateway, &user, &id, keep).await,
        R::ConflictStrategy { user, account, choice } => {
            rules::strategy(gateway, &user, account.as_deref(), choice).await
        }
        R::TrashList { user } => rules::trash(gateway, &user).await,
        R::TrashRestore { user, uid } => rules::trash_restore(gateway, &user, &uid).await,
        R::Unmerge { user, uid, source } => rules::unmerge(gateway, &user, &uid, &source).await,
        R::RouteList { user } => rules::routes(gateway, &user).await,
        R::RouteAdd { user, route } => rules::route_add(gateway, &user, route).await,
        R::RouteRemove { user, id } => rules::route_remove(gateway, &user, id).await,
        R::FeedAdd { user, feed } => feeds::add(gateway, &user, *feed).await,
        R::FeedList { user } => feeds::list(gateway, &user).await,
        R::FeedRevoke { user, id } => feeds::revoke(gateway, &user, id).await,
        R::History { user, uid, revision: None } => events::history(gateway, &user, &uid).await,
        R::History { user, uid, revision: Some(number) } => events::version(gateway, &user, &uid, number).await,
        R::Audit { user, last } => events::audit(gateway, &user, last).await,
        R::RestoreEvent { user, uid, revision } => events::restore(gateway, &user, &uid, revision).await,
        R::Import { user, source, content } => {
            events::import(gateway, &user, source.as_deref(), &content.0, progress).await
        }
        R::Export { user, source } => events::export(gateway, &user, source.as_deref()).await,
        R::Backup { folder } => upkeep::backup(gateway, &folder).await,
        R::KeyRotate => upkeep::key_rotate(gateway).await,
        R::Doctor => doctor::doctor(gateway).await,
    }
}

/// The user of this name, who must exist.
async fn existing(gateway: &Gateway, name: &str) -> Result<UserId, Failure> {
    let id = UserId::parse(name)?;
    match gateway.users.user(&id).await? {
        Some(user) => Ok(user.id),
        None => failed(format!("there is no user {id}; `lineartime user list` shows who there is")),
    }
}
