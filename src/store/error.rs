//! What can go wrong with a store, in words that say what to do. Never the contents of a row.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Key, TableId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    Damaged,
    Locked,
    Closed,
    Failed,
}

/// A read or a commit that the engine could not do. Its kind is asked by the `is_` methods.
#[derive(Clone)]
pub struct StoreError {
    kind: Kind,
    what: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// The disk has no room for a commit. Reads go on, and commits too as soon as there is room again.
    pub fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// A row is not what was written: its bytes changed on the disk, or a newer program wrote it.
    pub fn is_damaged(&self) -> bool {
        self.kind == Kind::Damaged
    }

    /// Another process has the store.
    pub fn is_locked(&self) -> bool {
        self.kind == Kind::Locked
    }

    /// The store was closed; the program is stopping.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// A row of `table` cannot be trusted. Public for decoders of rows above this floor.
    pub fn damaged(table: TableId) -> Self {
        Self::new(Kind::Damaged, format!("a row of the table \"{}\" is damaged", super::table::name(table)))
    }

    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, what.into())
    }

    pub(super) fn closed() -> Self {
        Self::new(Kind::Closed, "the store is closed".into())
    }

    pub(super) fn locked() -> Self {
        Self::new(Kind::Locked, "the store is in use by another process".into())
    }

    pub(super) fn full() -> Self {
        Self::new(Kind::Full, "the disk that holds the store is full".into())
    }

    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what.into())
    }

    fn new(kind: Kind, what: String) -> Self {
        Self { kind, what, source: None }
    }

    pub(super) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        let blank = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::full(),
            io::ErrorKind::WouldBlock => Self::locked(),
            // The engines say so of files that are cut or are not theirs.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::corrupt("the files do not add up"),
            _ => Self::failed("the store's files could not be read or written"),
        };
        blank.because(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .field("what", &self.what)
            .field("source", &self.source.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Why a batch was not committed. In both cases nothing of it is to be seen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The expectation for this row does not hold (any more): read again and decide again.
    #[error("something else was written in between")]
    Stale(Key),
    /// The engine could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a store could not be opened, each with what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be written.
    #[error(
        "cannot write to the data folder {path}: {reason}; give it to the user that runs this program (chown, chmod), \
         or set storage.path to another folder"
    )]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// Another process has it open.
    #[error(
        "the data folder {path} is in use by another process; stop that one first, or talk to it with the other commands"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// What is on the disk is not what was written. The files are left as they are.
    #[error("the store in {path} is damaged: {what}; {way_out}")]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What was found.
        what: String,
        /// What to do.
        way_out: String,
    },
    /// A newer release wrote it.
    #[error(
        "the store in {path} was written by a newer version of this program (format {found}, this one knows up to \
         {known}); run that version, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this program reads.
        known: u32,
    },
    /// The folder holds a store of the other engine.
    #[error(
        "the folder {path} holds a store of the engine \"{found}\"; set storage.engine = \"{found}\", or move it with \
         `lineartime backup` and `lineartime restore`"
    )]
    OtherEngine {
        /// The folder.
        path: PathBuf,
        /// The engine that made it.
        found: &'static str,
    },
    /// No room to open: recovery writes.
    #[error("the disk that holds {path} is full; free some space and start again, nothing is lost")]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the store in {path} cannot be opened: {reason}")]
    Failed {
        /// The folder.
        path: PathBuf,
        /// The engine's words.
        reason: String,
    },
}
