//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum};

use crate::subscription::{AllDay, Detail, Field, Kind, word};

/// One calendar in front of all your accounts.
#[derive(Debug, Parser)]
#[command(name = "lineartime", version, about, disable_help_subcommand = true)]
pub(super) struct Args {
    /// The configuration; without it ./config.toml, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON document on stdout and nothing else there.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Without a command it serves.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server.
    Serve,
    /// The people who have a login.
    #[command(subcommand)]
    User(User),
    /// Passwords for one device each.
    #[command(subcommand)]
    AppPassword(AppPassword),
    /// Connected logins at providers.
    #[command(subcommand)]
    Account(Account),
    /// The calendars inside the accounts.
    #[command(subcommand)]
    Source(Source),
    /// Queue a sync now.
    Sync {
        user: String,
        /// This account alone.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Read everything again.
        #[arg(long)]
        full: bool,
        /// Return when nothing is left to do.
        #[arg(long)]
        wait: bool,
    },
    /// How every account fares.
    Status {
        user: Option<String>,
        /// Only whether the server runs, by the exit status.
        #[arg(long, conflicts_with = "user")]
        ready: bool,
    },
    /// The queue and its dead letters.
    #[command(subcommand)]
    Job(Job),
    /// Conflicts, decided or waiting for a person.
    #[command(subcommand)]
    Conflict(Conflict),
    /// Addresses that show calendars to those who have no login.
    #[command(subcommand)]
    Feed(Feed),
    /// The versions of an event.
    History {
        user: String,
        uid: String,
        /// Print what this version says.
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// What was done to the events, by whom and why; the latest first.
    Audit {
        user: String,
        /// So many lines.
        #[arg(long, value_name = "N", default_value_t = 200)]
        last: usize,
        /// Every line there is.
        #[arg(long, conflicts_with = "last")]
        all: bool,
    },
    /// Bring a version of an event back.
    RestoreEvent {
        user: String,
        uid: String,
        #[arg(long, value_name = "N")]
        revision: u64,
    },
    /// Deleted events that can still be brought back.
    #[command(subcommand)]
    Trash(Trash),
    /// Part one source's copy from an event that it shares with others: it becomes an event of its own there.
    Unmerge {
        user: String,
        uid: String,
        /// The source whose copy it is.
        #[arg(long, value_name = "ID")]
        source: String,
    },
    /// Where new events of the unified calendar go, before the default.
    #[command(subcommand)]
    Route(Route),
    /// Bring events in from an iCalendar file.
    Import {
        user: String,
        file: PathBuf,
        /// Into this source or local calendar; without it where new events go.
        #[arg(long, value_name = "ID")]
        source: Option<String>,
    },
    /// Write events out as iCalendar.
    Export {
        user: String,
        /// This source or local calendar alone.
        #[arg(long, value_name = "ID")]
        source: Option<String>,
        /// One file for each event, in a ZIP archive.
        #[arg(long)]
        zip: bool,
    },
    /// Write a consistent copy of everything into a folder.
    Backup { folder: PathBuf },
    /// Load a backup into an empty data folder.
    Restore { folder: PathBuf },
    /// The master key.
    #[command(subcommand)]
    Key(Key),
    /// Look for trouble, and say what to do about it.
    Doctor {
        /// Replace a damaged store by what can be read of it. What can't be read is lost.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Read the configuration, and say what is wrong with it.
    CheckConfig,
    /// Completions and the manual page, for packages.
    #[command(subcommand, hide = true)]
    Generate(Generate),
    /// Say which version this is.
    Version,
}

/// A password comes by standard input, so that it stands in no history and no list of processes.
#[derive(Clone, Copy, Debug, Group)]
pub(super) struct PasswordOnStdin {
    /// Read the password from the first line of standard input.
    #[arg(long, required = true)]
    pub(super) password_stdin: bool,
}

/// What cannot be undone is to be said twice.
#[derive(Clone, Copy, Debug, Group)]
pub(super) struct Sure {
    /// Yes, do it.
    #[arg(long, required = true)]
    pub(super) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add a user.
    Add {
        name: String,
        /// May manage others.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordOnStdin,
    },
    /// List the users.
    List,
    /// Change a user's password.
    Passwd {
        name: String,
        #[command(flatten)]
        password: PasswordOnStdin,
    },
    /// Remove a user with their accounts and calendars. Events at providers stay there.
    Remove {
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AppPassword {
    /// Make an app password and print it, once.
    Add {
        user: String,
        /// What to call the device.
        #[arg(long)]
        label: String,
        /// It may change nothing.
        #[arg(long)]
        read_only: bool,
        /// It is good for this calendar alone, the last part of the calendar's address: `unified`, a source id.
        #[arg(long, value_name = "NAME")]
        collection: Option<String>,
    },
    /// List them; the passwords themselves are not kept.
    List { user: String },
    /// Take one away.
    Revoke { user: String, id: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Provider {
    Caldav,
    Icloud,
    Ics,
    Google,
    Microsoft,
}

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Connect an account by password.
    #[command(group = ArgGroup::new("secret").args(["password_stdin", "refresh_token_stdin"]))]
    Add {
        user: String,
        #[arg(long, value_enum)]
        provider: Provider,
        /// A host name, an e-mail address or any URL of the server.
        #[arg(long)]
        url: Option<String>,
        /// The login name. A CalDAV account without one is connected by a bearer token (RFC 6750) in place of the password.
        #[arg(long, short = 'u')]
        username: Option<String>,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Read a refresh token from the first line of standard input.
        #[arg(long)]
        refresh_token_stdin: bool,
        /// What to call the account.
        #[arg(long)]
        label: Option<String>,
    },
    /// Connect an account on the provider's own page: print the link, and wait. The address that the browser ends at can
    /// be pasted here.
    Connect {
        user: String,
        #[arg(long, value_enum)]
        provider: Provider,
        /// By a code that is typed on another device, where the provider has that.
        #[arg(long)]
        device: bool,
        /// What to call the account.
        #[arg(long)]
        label: Option<String>,
    },
    /// Change an account.
    Set {
        user: String,
        id: String,
        /// When the provider may tell attendees of changes.
        #[arg(long, value_enum)]
        invitations: Invitations,
    },
    /// List the accounts.
    List { user: String },
    /// Forget an account. Its events stay at the provider.
    Remove {
        user: String,
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Stop the work for an account.
    Pause { user: String, id: String },
    /// Take it up again.
    Resume { user: String, id: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Invitations {
    /// When a person changed what attendees must know, and their program asks for no silence.
    AsAsked,
    /// When a person changed what attendees must know.
    Always,
    /// Never.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mirror {
    TwoWay,
    ReadOnly,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Privacy {
    Full,
    Busy,
}

#[derive(Debug, Subcommand)]
pub(super) enum Source {
    /// List the calendars.
    List { user: String },
    /// Change one.
    #[command(group = ArgGroup::new("what").multiple(true).required(true).args(["mirror", "default", "color", "name", "privacy", "confirm_deletions"]))]
    Set {
        user: String,
        id: String,
        /// Which way changes travel.
        #[arg(long, value_enum)]
        mirror: Option<Mirror>,
        /// New events of the unified calendar go here.
        #[arg(long)]
        default: bool,
        #[arg(long, value_name = "#RRGGBB")]
        color: Option<String>,
        #[arg(long)]
        name: Option<String>,
        /// What others see.
        #[arg(long, value_enum)]
        privacy: Option<Privacy>,
        /// The deletions that are held for this source are meant.
        #[arg(long)]
        confirm_deletions: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Job {
    /// List the queue.
    List {
        /// What was given up.
        #[arg(long)]
        dead: bool,
    },
    /// Let a job run now.
    #[command(group = ArgGroup::new("which").required(true).args(["id", "all_dead"]))]
    Retry {
        id: Option<u64>,
        /// Everything that was given up.
        #[arg(long)]
        all_dead: bool,
    },
    /// Throw a job away.
    Drop { id: u64 },
}

#[derive(Debug, Subcommand)]
pub(super) enum Conflict {
    /// List the conflicts.
    List { user: String },
    /// Choose a version: it is served from then on, and goes to the providers. The other stays in the history.
    Resolve {
        user: String,
        id: String,
        #[arg(long, value_enum)]
        keep: Keep,
    },
    /// Say or choose whose change stands when both sides changed the same thing.
    Strategy {
        user: String,
        /// For this account alone.
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// Without it the present choice is told.
        #[arg(value_enum)]
        strategy: Option<Strategy>,
        /// Account labels, strongest first, for provider-priority.
        #[arg(long, value_name = "LABEL")]
        priority: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Trash {
    /// List them, the latest deletion first.
    List { user: String },
    /// Bring one back to where it was.
    Restore { user: String, uid: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum Route {
    /// List the rules, in the order in which they are tried.
    List { user: String },
    /// Add a rule after the others.
    #[command(group = ArgGroup::new("when").required(true).args(["category", "attendee_domain"]))]
    Add {
        user: String,
        /// Events of this category.
        #[arg(long)]
        category: Option<String>,
        /// Events with somebody of this domain.
        #[arg(long, value_name = "DOMAIN")]
        attendee_domain: Option<String>,
        /// The calendar, by id or name.
        #[arg(long, value_name = "ID")]
        to: String,
    },
    /// Take a rule away.
    Remove { user: String, id: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Strategy {
    /// The change that was made later.
    LastWriteWins,
    /// The account that is named first.
    ProviderPriority,
    /// A person says, each time.
    Manual,
    /// As chosen above: for all accounts, or in the configuration.
    Inherit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Keep {
    /// The version of this side.
    Local,
    /// The version of the provider.
    Remote,
    /// What is served, and the other version as an event of its own.
    Both,
}

#[derive(Debug, Subcommand)]
pub(super) enum Feed {
    /// Make a feed and print its address, once.
    Add {
        user: String,
        #[command(flatten)]
        traits: Box<FeedTraits>,
    },
    /// List them; the addresses themselves are not kept.
    List { user: String },
    /// Take one away: its address works no more.
    Revoke { user: String, id: String },
}

/// What a feed shows.
#[derive(Clone, Debug, Group)]
pub(super) struct FeedTraits {
    /// This source or local calendar; may be repeated. Without it all that are unified.
    #[arg(long, value_name = "ID")]
    pub(super) source: Vec<String>,
    /// What is told of each event: full, titles or busy.
    #[arg(long, default_value = "full", value_parser = word::<Detail>)]
    pub(super) detail: Detail,
    /// Tell this too: title, location, description, people, links, categories or other. May be repeated.
    #[arg(long, value_name = "FIELD", value_parser = word::<Field>)]
    pub(super) show: Vec<Field>,
    /// Don't tell this. May be repeated.
    #[arg(long, value_name = "FIELD", value_parser = word::<Field>)]
    pub(super) hide: Vec<Field>,
    /// What is told of events that are marked as private or confidential.
    #[arg(long, value_name = "DETAIL", default_value = "busy", value_parser = word::<Detail>)]
    pub(super) private: Detail,
    /// Only so many days before today.
    #[arg(long, value_name = "DAYS")]
    pub(super) past: Option<u32>,
    /// Only so many days after today.
    #[arg(long, value_name = "DAYS")]
    pub(super) future: Option<u32>,
    /// All-day events: with, only or without them.
    #[arg(long, default_value = "with", value_parser = word::<AllDay>)]
    pub(super) all_day: AllDay,
    /// Show meetings that the person has declined.
    #[arg(long)]
    pub(super) declined: bool,
    /// Only events of this category, or with `!` in front all others. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) category: Vec<String>,
    /// Only events whose title matches, with * for anything, or with `!` in front all others.
    #[arg(long, value_name = "PATTERN")]
    pub(super) pattern: Option<String>,
    /// Pass reminders on.
    #[arg(long)]
    pub(super) alarms: bool,
    /// Events, or freebusy: one VFREEBUSY.
    #[arg(long, default_value = "events", value_parser = word::<Kind>)]
    pub(super) kind: Kind,
    /// Until this time, such as 2027-01-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(super) expires: Option<jiff::Timestamp>,
    /// What to call it.
    #[arg(long, default_value = "Calendar")]
    pub(super) name: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Generate {
    /// Completions for a shell.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// The manual page.
    Man,
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a new master key and seal every secret under it.
    Rotate,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_must_be_said_is_asked_for() {
        let fails = |line: &str| Args::try_parse_from(line.split(' ')).is_err();
        for wrong in [
            "lineartime user add ana",
            "lineartime user remove ana",
            "lineartime source set ana s-1",
            "lineartime job retry",
            "lineartime job retry 1 --all-dead",
            "lineartime conflict resolve ana 1",
            "lineartime nonsense",
            "lineartime account add ana --provider paper",
            "lineartime feed add ana --detail everything",
            "lineartime feed add ana --hide nonsense",
        ] {
            assert!(fails(wrong), "{wrong}");
        }
        for right in [
            "lineartime",
            "lineartime user list --json",
            "lineartime --json --config x status",
            "lineartime user add ana --password-stdin",
            "lineartime job retry --all-dead",
            "lineartime source set ana s-1 --default",
            "lineartime feed add ana --source s-1 --source local --detail busy --past 7 --future 30 --name N",
            "lineartime feed revoke ana f-1",
        ] {
            assert!(!fails(right), "{right}");
        }
    }
}
