//! The answer about an object, written once with gaps: listings differ from object to object in a name, a tag and
//! little else, and may have a hundred thousand of them.
//!
//! Invariant: what [`Fragments::write`] writes is octet for octet what [`Plan::tell`](super::Plan::tell) would have. The pieces
//! are cut out of an answer that the ordinary writer makes about an object whose values are marks.

use bytes::Bytes;

use super::{On, Property};
use crate::caldav::get::{content_type, http_date};
use crate::calendar::Entry;
use crate::dav::multistatus::{Detail, Member, nested_response};
use crate::dav::name::{caldav, dav};
use crate::dav::{Href, QName, Writer, href};

/// What is filled into a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Name,
    Etag,
    Length,
    ContentType,
    Modified,
    Data,
}

/// Octets that no answer holds: the writer leaves such characters out of whatever it is given.
const MARKS: [(u8, Gap); 6] =
    [(1, Gap::Name), (2, Gap::Etag), (3, Gap::Length), (4, Gap::ContentType), (5, Gap::Modified), (6, Gap::Data)];

/// The name of the object whose values are marks, as its href has it.
const MARKED_NAME: &str = "\u{1}";
const ENCODED_NAME: &[u8] = b"%01";

/// An answer with gaps, for the objects of one collection.
#[derive(Clone, Debug)]
pub struct Fragments {
    /// Each piece with the gap behind it.
    pieces: Vec<(Bytes, Gap)>,
    end: Bytes,
}

impl Fragments {
    /// The answer about objects of `collection`, when `asked` is about nothing but what is common to ask.
    pub(super) fn of(asked: &[(QName, Option<&'static Property>)], collection: &Href, detail: Detail) -> Option<Self> {
        // Anything else hangs on more than the entry: on who asks, or on what clients have stored.
        if !asked.iter().all(|(_, live)| live.is_some_and(is_common)) {
            return None;
        }
        let marked = nested_response(&collection.member(MARKED_NAME), detail, |member| {
            for (name, live) in asked {
                mark(name, *live, member);
            }
        });
        Self::cut(&marked, collection.as_str().len())
    }

    /// `href_length` octets of the href come before the marked name.
    fn cut(marked: &Bytes, href_length: usize) -> Option<Self> {
        let name = marked.windows(ENCODED_NAME.len()).enumerate().skip(href_length);
        let at = name.into_iter().find(|(_, part)| *part == ENCODED_NAME)?.0;
        let mut pieces = vec![(marked.slice(..at), Gap::Name)];
        let mut rest = marked.slice(at + ENCODED_NAME.len()..);
        while let Some((at, gap)) = rest.iter().enumerate().find_map(|(at, octet)| Some((at, gap(*octet)?))) {
            pieces.push((rest.slice(..at), gap));
            rest = rest.slice(at + 1..);
        }
        Some(Self { pieces, end: rest })
    }

    /// Writes the answer about one object; `data` is its calendar data in the form that was asked.
    pub fn write(&self, entry: &Entry, data: Option<&Bytes>, writer: &mut Writer) {
        for (piece, gap) in &self.pieces {
            writer.raw(piece);
            match gap {
                Gap::Name => href::encoded(entry.name.as_str()).for_each(|part| {
                    writer.raw(part.as_bytes());
                }),
                Gap::Etag => {
                    writer.raw(b"\"").raw(entry.etag.0.as_bytes()).raw(b"\"");
                }
                Gap::Length => {
                    writer.text(&entry.length.to_string());
                }
                Gap::ContentType => {
                    writer.text(content_type(entry.component));
                }
                Gap::Modified => {
                    writer.text(&http_date(entry.modified));
                }
                Gap::Data => {
                    writer.text(&String::from_utf8_lossy(data.map_or(&[], |data| data)));
                }
            }
        }
        writer.raw(&self.end);
    }
}

fn gap(octet: u8) -> Option<Gap> {
    MARKS.iter().find(|(mark, _)| *mark == octet).map(|(_, gap)| *gap)
}

/// What stands in the gap of a property; `None` if an object's answer about it needs more than an entry.
fn filled(property: &Property) -> Option<Gap> {
    match &property.name {
        name if *name == dav::GETETAG => Some(Gap::Etag),
        name if *name == dav::GETCONTENTLENGTH => Some(Gap::Length),
        name if *name == dav::GETCONTENTTYPE => Some(Gap::ContentType),
        name if *name == dav::GETLASTMODIFIED => Some(Gap::Modified),
        name if *name == caldav::CALENDAR_DATA => Some(Gap::Data),
        _ => None,
    }
}

/// Whether the answer about it is the same for all objects, or filled.
fn is_common(property: &'static Property) -> bool {
    !property.on.meets(On::OBJECT) || property.name == dav::RESOURCETYPE || filled(property).is_some()
}

fn mark(name: &QName, live: Option<&'static Property>, member: &mut Member<'_>) {
    let Some(property) = live.filter(|property| property.on.meets(On::OBJECT)) else {
        member.missing(name);
        return;
    };
    let octet = filled(property).and_then(|gap| MARKS.iter().find(|(_, other)| *other == gap)).map(|(octet, _)| *octet);
    member.found(name, |writer| {
        // A resource type of no kind is what is left.
        if let Some(octet) = octet {
            writer.raw(&[octet]);
        }
    });
}
