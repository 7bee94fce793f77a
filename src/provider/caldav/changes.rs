//! What changed in a calendar, by the best means its server has: a ladder of three rungs.
//!
//! 1. sync-collection (RFC 6578), with `Depth: 0` as the RFC has it, then with `Depth: 1` as some servers want it;
//! 2. the collection tag, and a listing of all entity tags when it differs;
//! 3. that listing by calendar-query, where the server does not list folders, or not so long ones.
//!
//! The rung is found by trying, at every full listing anew, and remembered in the cursor in between. A server that gives
//! tokens and refuses each of them (GMX) is not asked for more of them while the program runs.
//! Invariant: a page that claims to be complete comes from an answer that was whole, named the collection (or a
//! token) and could be read everywhere; a token is replaced only by one from a whole answer.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::CalDav;
use super::fault::{Aim, fault};
use super::place::{same_resource, tag};
use super::request::{self, Listed, Listing, names_condition};
use super::session::Reply;
use crate::dav::name::{apple, dav};
use crate::provider::{Cursor, Fault, Item, Page, PageToken, Position, RemoteId, Then};

/// Where a round stands: what cursors and page tokens hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    /// The server speaks sync-collection.
    Sync {
        token: String,
        depth: Depth,
        /// Of a page token: every page of this round so far was part of a whole listing.
        complete: bool,
    },
    /// It doesn't; it may have a collection tag.
    Tag { ctag: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Depth {
    Zero,
    One,
}

impl Depth {
    fn text(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
        }
    }
}

impl Mark {
    fn write(&self) -> bytes::Bytes {
        let mut out = vec![FORMAT];
        out.extend(postcard::to_allocvec(self).unwrap_or_default());
        out.into()
    }

    /// A mark of another version of the program means a full listing, no more.
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let body = bytes.strip_prefix(&[FORMAT]).ok_or(Fault::CursorExpired)?;
        postcard::from_bytes(body).map_err(|_| Fault::CursorExpired)
    }
}

/// What came of asking with sync-collection.
enum Synced {
    Page(Page),
    /// The server doesn't speak it, or not like this; the reply says how.
    Refused(Reply),
}

impl CalDav {
    pub(super) async fn changes_since(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        let url = self.url(calendar)?;
        match from {
            Position::Start => self.start(&url).await,
            Position::After(Cursor(bytes)) => match Mark::read(bytes)? {
                Mark::Sync { token, depth, .. } => self.go_on(&url, &token, depth, false).await,
                Mark::Tag { ctag } => self.compare_tag(&url, ctag).await,
            },
            Position::Next(PageToken(bytes)) => match Mark::read(bytes)? {
                Mark::Sync { token, depth, complete } => self.go_on(&url, &token, depth, complete).await,
                Mark::Tag { .. } => Err(Fault::CursorExpired),
            },
        }
    }

    /// A full listing, from the top of the ladder.
    async fn start(&self, url: &Url) -> Result<Page, Fault> {
        if !self.tokens_are_useless(url) {
            for depth in [Depth::Zero, Depth::One] {
                if let Synced::Page(page) = self.sync(url, "", depth, true).await? {
                    return Ok(page);
                }
            }
        }
        let ctag = self.ctag(url).await?;
        self.list(url, ctag).await
    }

    /// A later page or round of sync-collection.
    async fn go_on(&self, url: &Url, token: &str, depth: Depth, complete: bool) -> Result<Page, Fault> {
        match self.sync(url, token, depth, complete).await? {
            Synced::Page(page) => {
                self.refused_tokens().remove(url);
                Ok(page)
            }
            Synced::Refused(reply) if names_condition(&reply, "valid-sync-token") => Err(Fault::CursorExpired),
            // Servers refuse a stale token with any status they like. If the calendar itself still answers, it was
            // the token; if it doesn't, its own answer says what happened.
            Synced::Refused(_) => {
                self.ctag(url).await?;
                let mut refused = self.refused_tokens();
                let times = refused.entry(url.clone()).or_default();
                *times = times.saturating_add(1);
                Err(Fault::CursorExpired)
            }
        }
    }

    /// Whether this calendar's tokens, each of them new, were refused one after the other. One alone may have been stale.
    fn tokens_are_useless(&self, url: &Url) -> bool {
        self.refused_tokens().get(url).is_some_and(|times| *times >= REFUSALS)
    }

    fn refused_tokens(&self) -> MutexGuard<'_, HashMap<Url, u8>> {
        self.refused_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sync(&self, url: &Url, token: &str, depth: Depth, complete: bool) -> Result<Synced, Fault> {
        let reply = self.ask(request::sync(url, depth.text(), token)).await?;
        if reply.status != StatusCode::MULTI_STATUS {
            return if may_be_refusal(reply.status) {
                Ok(Synced::Refused(reply))
            } else {
                Err(fault(&reply, Aim::Calendar, self.now()))
            };
        }
        let listing = Listing::read(&reply, Aim::Calendar, self.now())?;
        let Some(next) = listing.sync_token.clone() else { return Ok(Synced::Refused(reply)) };
        let cut = listing.members.iter().any(|m| m.response.status == Some(StatusCode::INSUFFICIENT_STORAGE));
        if cut && next == token {
            return Err(Fault::Garbled("the server's list of changes does not advance".to_owned()));
        }
        let complete = complete && !listing.patchy;
        let mut page = self.page(&reply.url, &listing, complete)?;
        let mark = Mark::Sync { token: overlapping(next, self.now()), depth, complete };
        page.then = if cut { Then::Next(PageToken(mark.write())) } else { Then::Done(Cursor(mark.write())) };
        Ok(Synced::Page(page))
    }

    async fn compare_tag(&self, url: &Url, known: Option<String>) -> Result<Page, Fault> {
        let current = self.ctag(url).await?;
        if current.is_some() && current == known {
            let cursor = Cursor(Mark::Tag { ctag: known }.write());
            return Ok(Page { items: Vec::new(), gone: Vec::new(), complete: false, then: Then::Done(cursor) });
        }
        self.list(url, current).await
    }

    /// The collection tag. Also the way to ask whether the calendar is there at all.
    async fn ctag(&self, url: &Url) -> Result<Option<String>, Fault> {
        let reply = self.ask(request::ctag(url)).await?;
        let listing = Listing::read(&reply, Aim::Calendar, self.now())?;
        let itself = listing.about(&reply.url).ok_or_else(unnamed)?;
        match itself.response.status {
            Some(status) if itself.response.is_gone() || status == StatusCode::FORBIDDEN => Err(Fault::CalendarGone),
            Some(status) if !status.is_success() => Err(Fault::Unreachable(format!("the calendar answers {status}"))),
            _ => Ok(itself.text(&apple::GETCTAG)),
        }
    }

    /// All members with their tags. The collection tag is older than the listing, so a change in between shows as
    /// a difference next time.
    async fn list(&self, url: &Url, ctag: Option<String>) -> Result<Page, Fault> {
        let reply = self.ask(request::etags(url)).await?;
        let (listing, complete) = if may_be_refusal(reply.status) {
            self.list_by_query(url).await?
        } else {
            let listing = Listing::read(&reply, Aim::Calendar, self.now())?;
            listing.about(&reply.url).ok_or_else(unnamed)?;
            (listing, true)
        };
        let mut page = self.page(&reply.url, &listing, complete && !listing.patchy)?;
        // A listing cut short by the server proves no absence, and its tag must not hide the rest.
        let cut = listing.members.iter().any(|m| m.response.status == Some(StatusCode::INSUFFICIENT_STORAGE));
        page.complete &= !cut;
        page.then = Then::Done(Cursor(Mark::Tag { ctag: ctag.filter(|_| page.complete) }.write()));
        Ok(page)
    }

    /// The listing, and whether it is one of everything: a query for events alone proves nothing about tasks.
    async fn list_by_query(&self, url: &Url) -> Result<(Listing, bool), Fault> {
        let reply = self.ask(request::etags_by_query(url, None)).await?;
        if may_be_refusal(reply.status) {
            let reply = self.ask(request::etags_by_query(url, Some("VEVENT"))).await?;
            return Ok((Listing::read(&reply, Aim::Calendar, self.now())?, false));
        }
        Ok((Listing::read(&reply, Aim::Calendar, self.now())?, true))
    }

    /// Sorts the members of a listing into those that are there and those that are gone.
    fn page(&self, collection: &Url, listing: &Listing, complete: bool) -> Result<Page, Fault> {
        let (mut items, mut gone) = (Vec::new(), Vec::new());
        for member in &listing.members {
            if same_resource(&member.url, collection) || is_collection(member) {
                continue;
            }
            let failed = member.response.status.filter(|status| !status.is_success());
            match failed {
                Some(_) if member.response.is_gone() => gone.push(self.learn(&member.url)?),
                // It speaks of the listing, wherever the server puts it.
                Some(StatusCode::INSUFFICIENT_STORAGE) => {}
                // Neither there nor gone. In a listing of everything, silence would mean gone.
                Some(_) if !complete => {}
                _ => {
                    let tag = member.text(&dav::GETETAG).and_then(|text| tag(&text));
                    items.push(Item::Stub { id: self.learn(&member.url)?, tag });
                }
            }
        }
        let then = Then::Done(Cursor(bytes::Bytes::new()));
        Ok(Page { items, gone, complete, then })
    }
}

/// A token that is the time of day in seconds hides what is written later in its own second (`SOGo`). Taken back by so much
/// while it is new, it tells some changes twice, which their tags give away.
fn overlapping(token: String, now: Timestamp) -> String {
    let seconds = token.parse::<i64>().ok().filter(|seconds| (now.as_second() - seconds).abs() <= SAME_SECOND);
    seconds.map_or(token, |seconds| (seconds - SAME_SECOND).to_string())
}

fn is_collection(member: &Listed) -> bool {
    member.url.path().ends_with('/') || member.is_a(&dav::COLLECTION)
}

/// Statuses by which servers say "not like this": of sync-collection, of a stale token, of a listing. The others have
/// a meaning of their own (credentials, load, gateways in between).
fn may_be_refusal(status: StatusCode) -> bool {
    let code = status.as_u16();
    (matches!(code, 200 | 204) || status.is_client_error() || matches!(code, 500 | 501 | 505 | 507))
        && !matches!(code, 401 | 407 | 408 | 421 | 423 | 425 | 429 | 431)
}

fn unnamed() -> Fault {
    Fault::Garbled("the server's answer does not name the calendar asked for".to_owned())
}

/// Seconds in which a clock that is a token may still be the present one.
const SAME_SECOND: i64 = 2;
/// So many refusals in a row are no accident.
const REFUSALS: u8 = 2;
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back_and_strange_ones_start_over() {
        let mark = Mark::Sync { token: "http://x/1".to_owned(), depth: Depth::One, complete: true };
        assert_eq!(Mark::read(&mark.write()), Ok(mark));
        let mark = Mark::Tag { ctag: None };
        assert_eq!(Mark::read(&mark.write()), Ok(mark));
        for strange in [&b""[..], b"\x00", b"\x01", b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"{}"] {
            assert_eq!(Mark::read(strange), Err(Fault::CursorExpired), "{strange:?}");
        }
    }

    #[test]
    fn a_clock_for_a_token_overlaps_itself_while_it_is_new() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let table = [
            ("1700000000", "1699999998"),
            ("1699999999", "1699999997"),
            ("1699999990", "1699999990"),
            ("7", "7"),
            ("http://x/1700000000", "http://x/1700000000"),
        ];
        for (token, kept) in table {
            assert_eq!(overlapping(token.to_owned(), now), kept);
        }
    }

    #[test]
    fn statuses_with_a_meaning_of_their_own_are_no_refusal() {
        let refusal = |code| may_be_refusal(StatusCode::from_u16(code).unwrap());
        for code in [200, 400, 403, 404, 405, 409, 412, 415, 422, 500, 501, 507] {
            assert!(refusal(code), "{code}");
        }
        for code in [207, 301, 401, 408, 429, 502, 503, 504] {
            assert!(!refusal(code), "{code}");
        }
    }
}
