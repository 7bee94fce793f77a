//! The command line: reads what is asked, has it done where the store is, prints what comes of it.
//!
//! Exit status: 0 done, 1 failed with one line on stderr, 2 wrong usage. With `--json` stdout holds one document and
//! nothing else.

pub(crate) mod admin;
mod args;
mod connect;
mod print;
mod write;

use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use zeroize::Zeroizing;

use self::admin::{Answer, Choice, Content, Failure, NewFeed, Password, Request, SourceChange};
use self::args::{
    Account, AppPassword, Args, Command, Conflict, Feed, Job, Keep, Key, Mirror, Privacy, Provider, Route, Source,
    Strategy, Trash, User,
};
use crate::app::{self, Gateway, socket};
use crate::calendar::Criterion;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded};
use crate::entropy::{Entropy, OsEntropy};
use crate::failpoint;
use crate::subscription::Rules as FeedRules;

/// Reads the process's arguments and does what they say.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the program can't start its threads: {error}")),
    };
    let done = runtime.block_on(perform(args));
    // A worker that is still busy with what nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    let printed = match done {
        Ok(Some(answer)) => print::answer(&answer, json),
        Ok(None) => Ok(()),
        Err(Failure(why)) => return fail(&why),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read as much as they wanted is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("stdout can't be written: {error}")),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("lineartime: {}", why.lines().collect::<Vec<_>>().join(" "));
    ExitCode::FAILURE
}

async fn perform(args: Args) -> Result<Option<Answer>, Failure> {
    let command = args.command.unwrap_or(Command::Serve);
    if matches!(command, Command::Version) {
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("lineartime {version}");
        return Ok(Some(answer(json!({ "name": "lineartime", "version": version }), text)));
    }
    let loaded = Loaded::from_process(args.config.as_deref())?;
    failpoint::arm().map_err(|error| Failure(error.to_string()))?;
    match command {
        Command::Serve => {
            Box::pin(app::serve(loaded.config)).await?;
            Ok(None)
        }
        Command::CheckConfig => Ok(Some(check(&loaded))),
        Command::Restore { folder } => Ok(Some(restore(&loaded.config, &folder).await?)),
        Command::Generate(what) => {
            write::generate(&what)?;
            Ok(None)
        }
        Command::Export { user, source, zip: true } if !args.json => {
            let answer = Box::pin(manage(loaded.config, Request::Export { user, source })).await?;
            write::archive(&answer)?;
            Ok(None)
        }
        Command::Export { zip: true, .. } => {
            Err(Failure("--zip writes an archive and --json a document; leave one of them out".to_owned()))
        }
        Command::Doctor { accept_loss } => Ok(Some(Box::pin(doctor(loaded.config, accept_loss)).await?)),
        Command::Account(Account::Connect { user, provider, device, label }) => {
            let wish = connect::Wish { user, service: connect::service(provider)?, device, label };
            Ok(Some(Box::pin(connect::connect(loaded.config, wish, args.json)).await?))
        }
        Command::Status { ready: true, .. } => Ok(Some(ready(&loaded.config).await?)),
        other => {
            let request = request(other)?;
            Ok(Some(Box::pin(manage(loaded.config, request)).await?))
        }
    }
}

/// Through the server if one runs, else here.
async fn manage(config: Config, request: Request) -> Result<Answer, Failure> {
    let progress = print::listener();
    if let Some(answer) = socket::ask(&app::socket_path(&config), &request, &progress).await {
        return answer;
    }
    let gateway = Gateway::open(config).await?;
    // Without a server nobody works but this command.
    let (stop, stopped) = watch::channel(false);
    let waits = matches!(request, Request::Sync { wait: true, .. });
    let workers = waits.then(|| tokio::spawn(Arc::clone(&gateway.sync).work(stopped)));
    let answer = admin::execute(&gateway, request, &progress).await;
    stop.send_replace(true);
    if let Some(workers) = workers {
        drop(workers.await);
    }
    gateway.close().await?;
    answer
}

/// With a server through it; else the files are looked at first, because a store that is damaged can't be opened.
async fn doctor(config: Config, accept_loss: bool) -> Result<Answer, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    if accept_loss {
        if ready(&config).await.is_ok() {
            return Err(Failure("a server runs on this store, so it can be opened; stop the server first".to_owned()));
        }
        return admin::doctor::accept_loss(&config, clock, Arc::new(OsEntropy)).await;
    }
    if let Some(answer) = socket::ask(&app::socket_path(&config), &Request::Doctor, &|_| {}).await {
        return answer;
    }
    let files = match admin::doctor::examine(&config, clock).await {
        Ok(files) => files,
        Err(answer) => return Ok(answer),
    };
    let gateway = Gateway::open(config).await?;
    let answer = admin::execute(&gateway, Request::Doctor, &|_| {}).await;
    gateway.close().await?;
    Ok(admin::doctor::with_first(&answer?, files))
}

async fn ready(config: &Config) -> Result<Answer, Failure> {
    let path = app::socket_path(config);
    match socket::ask(&path, &Request::Ready, &|_| {}).await {
        Some(answer) => answer,
        None => Err(Failure(format!("no server runs on {}", config.storage.path.display()))),
    }
}

/// A server that runs has a store in use, so this never goes through it.
async fn restore(config: &Config, folder: &Path) -> Result<Answer, Failure> {
    if ready(config).await.is_ok() {
        return Err(Failure("a server runs on this data folder; stop it, and restore into an empty one".to_owned()));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let store = app::open_store(config, &clock, &entropy).await?;
    let restored = admin::restore(config, &*store, folder).await;
    store.close().await?;
    restored
}

fn check(loaded: &Loaded) -> Answer {
    let mut findings = app::notes(&loaded.config);
    findings.extend(loaded.notes.iter().map(|note| admin::finding("environment", "warning", note, "")));
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    let read =
        file.as_ref().map_or("no file; defaults and environment hold".to_owned(), |file| format!("{file} is read"));
    findings.insert(0, admin::finding("config", "ok", &read, ""));
    let text = findings.iter().map(admin::line).collect::<Vec<_>>().join("\n");
    answer(Value::Array(findings), text)
}

fn answer(document: Value, text: String) -> Answer {
    Answer { document, text: Some(text), notes: Vec::new() }
}

fn chosen(strategy: Strategy, priority: Vec<String>) -> Choice {
    match strategy {
        Strategy::LastWriteWins => Choice::Take(crate::sync::Strategy::LastWriteWins),
        Strategy::ProviderPriority => Choice::Take(crate::sync::Strategy::ProviderPriority(priority)),
        Strategy::Manual => Choice::Take(crate::sync::Strategy::Manual),
        Strategy::Inherit => Choice::Inherit,
    }
}

fn route_request(route: Route) -> Request {
    match route {
        Route::List { user } => Request::RouteList { user },
        Route::Add { user, category, attendee_domain, to } => {
            let when = match (category, attendee_domain) {
                (Some(category), _) => Criterion::Category(category),
                (None, domain) => Criterion::AttendeeDomain(domain.unwrap_or_default()),
            };
            Request::RouteAdd { user, route: crate::calendar::Route { when, to } }
        }
        Route::Remove { user, id } => Request::RouteRemove { user, id },
    }
}

/// What is asked of whoever has the store. Files and passwords are read here, where the person is.
fn request(command: Command) -> Result<Request, Failure> {
    Ok(match command {
        Command::User(user) => user_request(user)?,
        Command::AppPassword(AppPassword::Add { user, label, read_only, collection }) => {
            Request::AppPasswordAdd { user, label, read_only, collection }
        }
        Command::AppPassword(AppPassword::List { user }) => Request::AppPasswordList { user },
        Command::AppPassword(AppPassword::Revoke { user, id }) => Request::AppPasswordRevoke { user, id },
        Command::Account(account) => account_request(account)?,
        Command::Source(source) => source_request(source),
        Command::Sync { user, account, full, wait } => Request::Sync { user, account, full, wait },
        Command::Status { user, .. } => Request::Status { user },
        Command::Job(Job::List { dead }) => Request::JobList { dead },
        Command::Job(Job::Retry { id: Some(id), .. }) => Request::JobRetry { id },
        Command::Job(Job::Retry { id: None, .. }) => Request::JobRetryAllDead,
        Command::Job(Job::Drop { id }) => Request::JobDrop { id },
        Command::Conflict(Conflict::List { user }) => Request::ConflictList { user },
        Command::Conflict(Conflict::Resolve { user, id, keep }) => {
            let keep = match keep {
                Keep::Local => crate::calendar::Keep::Local,
                Keep::Remote => crate::calendar::Keep::Remote,
                Keep::Both => crate::calendar::Keep::Both,
            };
            Request::ConflictResolve { user, id, keep }
        }
        Command::Feed(Feed::Add { user, traits }) => feed_request(user, *traits),
        Command::Feed(Feed::List { user }) => Request::FeedList { user },
        Command::Feed(Feed::Revoke { user, id }) => Request::FeedRevoke { user, id },
        Command::History { user, uid, revision } => Request::History { user, uid, revision },
        Command::Conflict(Conflict::Strategy { user, account, strategy, priority }) => {
            let choice = strategy.map_or(Choice::Tell, |strategy| chosen(strategy, priority));
            Request::ConflictStrategy { user, account, choice }
        }
        Command::Trash(Trash::List { user }) => Request::TrashList { user },
        Command::Trash(Trash::Restore { user, uid }) => Request::TrashRestore { user, uid },
        Command::Unmerge { user, uid, source } => Request::Unmerge { user, uid, source },
        Command::Route(route) => route_request(route),
        Command::Audit { user, last, all } => Request::Audit { user, last: if all { usize::MAX } else { last } },
        Command::RestoreEvent { user, uid, revision } => Request::RestoreEvent { user, uid, revision },
        Command::Import { user, file, source } => Request::Import { user, source, content: read_file(&file)? },
        Command::Export { user, source, .. } => Request::Export { user, source },
        Command::Key(Key::Rotate) => Request::KeyRotate,
        Command::Backup { folder } => Request::Backup { folder: absolute(&folder)? },
        Command::Serve
        | Command::Generate(_)
        | Command::Doctor { .. }
        | Command::Restore { .. }
        | Command::CheckConfig
        | Command::Version => {
            return Err(Failure("this command runs here and not in the server".to_owned()));
        }
    })
}

fn feed_request(user: String, traits: args::FeedTraits) -> Request {
    let rules = FeedRules {
        kind: traits.kind,
        detail: traits.detail,
        show: traits.show.into_iter().collect(),
        hide: traits.hide.into_iter().collect(),
        private: traits.private,
        past: traits.past,
        future: traits.future,
        all_day: traits.all_day,
        declined: traits.declined,
        categories: traits.category,
        pattern: traits.pattern,
        alarms: traits.alarms,
        // They are read where the calendars are known.
        sources: Vec::new(),
    };
    let feed = NewFeed { name: traits.name, sources: traits.source, rules, expires: traits.expires };
    Request::FeedAdd { user, feed: Box::new(feed) }
}

fn user_request(user: User) -> Result<Request, Failure> {
    Ok(match user {
        User::Add { name, admin, .. } => Request::UserAdd { name, admin, password: password()? },
        User::List => Request::UserList,
        User::Passwd { name, .. } => Request::UserPasswd { name, password: password()? },
        User::Remove { name, .. } => Request::UserRemove { name },
    })
}

fn account_request(account: Account) -> Result<Request, Failure> {
    let missing = |what: &str| Failure(format!("{what} is needed to connect a CalDAV account"));
    Ok(match account {
        Account::Add { user, provider: Provider::Caldav, url, username, password_stdin, label, .. } => {
            let url = url.ok_or_else(|| missing("--url"))?;
            // Without a name, what comes on standard input is a bearer token.
            let username = username.unwrap_or_default();
            if !password_stdin {
                return Err(missing("--password-stdin"));
            }
            Request::AccountAdd { user, url, username, password: password()?, label }
        }
        Account::Add { user, provider: Provider::Icloud, username, password_stdin, label, .. } => {
            let needed = "--username and --password-stdin, with an app-specific password, are needed to connect iCloud";
            let (Some(username), true) = (username, password_stdin) else { return Err(Failure(needed.to_owned())) };
            Request::AccountAddICloud { user, username, password: password()?, label }
        }
        Account::Add { user, provider: Provider::Ics, url, label, .. } => {
            let url = url.ok_or_else(|| Failure("--url is needed to subscribe to a feed".to_owned()))?;
            Request::AccountAddFeed { user, address: Password(Zeroizing::new(url)), label }
        }
        Account::Add {
            user,
            provider: provider @ (Provider::Google | Provider::Microsoft),
            refresh_token_stdin,
            label,
            ..
        } => {
            if !refresh_token_stdin {
                let name = connect::service(provider)?.name();
                let why = format!(
                    "--refresh-token-stdin is needed, or `lineartime account connect {user} --provider {name}`"
                );
                return Err(Failure(why));
            }
            Request::AccountAddToken { user, service: connect::service(provider)?, token: password()?, label }
        }
        Account::Set { user, id, invitations } => {
            let invitations = match invitations {
                args::Invitations::AsAsked => crate::account::Invitations::AsAsked,
                args::Invitations::Always => crate::account::Invitations::Always,
                args::Invitations::Never => crate::account::Invitations::Never,
            };
            Request::AccountSet { user, id, invitations }
        }
        Account::Connect { .. } => return Err(Failure("this command waits, and is not one request".to_owned())),
        Account::List { user } => Request::AccountList { user },
        Account::Remove { user, id, .. } => Request::AccountRemove { user, id },
        Account::Pause { user, id } => Request::AccountPause { user, id },
        Account::Resume { user, id } => Request::AccountResume { user, id },
    })
}

fn source_request(source: Source) -> Request {
    use crate::calendar;
    match source {
        Source::List { user } => Request::SourceList { user },
        Source::Set { user, id, mirror, default, color, name, privacy, confirm_deletions } => {
            let mirror = mirror.map(|mirror| match mirror {
                Mirror::TwoWay => calendar::Mirror::TwoWay,
                Mirror::ReadOnly => calendar::Mirror::ReadOnly,
                Mirror::Off => calendar::Mirror::Off,
            });
            let privacy = privacy.map(|privacy| match privacy {
                Privacy::Full => calendar::Privacy::Full,
                Privacy::Busy => calendar::Privacy::Busy,
            });
            Request::SourceSet {
                user,
                id,
                change: SourceChange { mirror, default, confirm_deletions, color, name, privacy },
            }
        }
    }
}

/// The first line of standard input, without its end.
fn password() -> Result<Password, Failure> {
    const LONGEST: u64 = 4096;
    let mut line = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(LONGEST).read_line(&mut line);
    read.map_err(|error| Failure(format!("the password can't be read from standard input: {error}")))?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure("no password came on standard input".to_owned()));
    }
    Ok(Password(Zeroizing::new(text.to_owned())))
}

fn read_file(file: &Path) -> Result<Content, Failure> {
    let octets = std::fs::read(file).map_err(|error| Failure(format!("{} can't be read: {error}", file.display())))?;
    // iCalendar is UTF-8 (RFC 5545 3.1.4); guessing another encoding would garble names for good.
    let text = String::from_utf8(octets).map_err(|_| Failure(format!("{} is no UTF-8 text", file.display())))?;
    Ok(Content(text))
}

/// The server has another working folder than the person.
fn absolute(folder: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(folder).map_err(|error| Failure(format!("{} is no path: {error}", folder.display())))
}
