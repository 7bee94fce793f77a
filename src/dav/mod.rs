//! The languages of `WebDAV` and CalDAV as types: bytes in, types out, and back again.
//!
//! `dav` speaks, [`crate::caldav`] answers. The server parses requests and writes answers with it; the upstream
//! CalDAV client writes requests and parses answers with the same types. RFC 4918 (`WebDAV`), 3744 (ACL), 4791
//! (CalDAV), 5689 (extended MKCOL), 6578 (sync), 6638 (scheduling), 7240/8144 (Prefer), 7809 (zones by reference).
//!
//! Invariants: every document passes through [`xml`] with its limits, so nothing here recurses deeper than
//! [`xml::Limits`] allows or meets a DTD; what was parsed is well-formed by its type; what is written is
//! well-formed XML 1.0 whatever text it is given.
//!
//! It never does IO, never knows who is logged in, and never decides what a request means.

pub mod element;
mod filter;
pub mod freebusy_post;
pub mod header;
pub mod href;
pub mod mkcalendar;
pub mod multistatus;
pub mod name;
pub mod precondition;
pub mod propfind;
pub mod proppatch;
pub mod report;
#[cfg(test)]
mod vectors;
pub mod writer;
pub mod xml;

pub use element::{Attribute, Element, Node};
pub use header::{Brief, Depth, Destination, IfHeader, Match, Overwrite, Prefer, Tag};
pub use href::{BadHref, Href};
pub use mkcalendar::{ExtendedMkcol, MkCalendar};
pub use multistatus::{Member, Multistatus, MultistatusWriter, Propstat, Response};
pub use name::QName;
pub use precondition::{Malformed, Precondition};
pub use propfind::Propfind;
pub use proppatch::{PropertyUpdate, Update};
pub use report::Report;
pub use writer::Writer;
pub use xml::{Limits, XmlError};
