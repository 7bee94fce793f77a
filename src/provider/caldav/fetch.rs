//! Reading objects: calendar-multiget (RFC 4791 7.9) in batches, and what it leaves out again in smaller ones.
//!
//! Some servers answer only the first hundred of a multiget and say nothing of the rest, some know no multiget.
//! Invariant: an object is left out of the answer only after it was asked for by itself; missing is not deleted.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use url::Url;

use super::CalDav;
use super::fault::{Aim, fault};
use super::place::{same_resource, tag};
use super::request::{self, Listing, calendar_data};
use super::session::{Ask, Reply};
use crate::dav::name::dav;
use crate::provider::{Fault, Item, RemoteId, RemoteTag, Version};

/// An object as a GET brought it.
pub(super) struct Got {
    pub(super) version: Version,
    pub(super) octets: bytes::Bytes,
}

impl CalDav {
    pub(super) async fn fetch_all(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        // Asked for one alone, the caller wants to know what became of it.
        let url = self.url(calendar)?;
        if let [id] = ids {
            return match self.get(id).await {
                Ok(got) => Ok(vec![got.into()]),
                Err(found @ Fault::Forbidden(_)) => Err(self.trouble_of_all(&url).await.unwrap_or(found)),
                Err(other) => Err(other),
            };
        }
        let mut items = Vec::with_capacity(ids.len());
        let mut missing = ids.to_vec();
        for size in BATCHES {
            let batches: Vec<Vec<RemoteId>> = missing.chunks(size).map(<[RemoteId]>::to_vec).collect();
            let asked = stream::iter(batches).map(|batch| self.multiget(&url, batch)).buffered(AT_ONCE);
            let answers: Vec<(Vec<Item>, Vec<RemoteId>)> = asked.try_collect().await?;
            missing.clear();
            for (found, rest) in answers {
                items.extend(found);
                missing.extend(rest);
            }
            if missing.is_empty() {
                return Ok(items);
            }
        }
        let single = stream::iter(missing).map(|id| async move { self.get_if_there(&id).await }).buffered(AT_ONCE);
        let single: Vec<Option<Item>> = single.try_collect().await?;
        items.extend(single.into_iter().flatten());
        Ok(items)
    }

    /// What a multiget brings, and what it leaves out. A server that refuses it leaves out all.
    async fn multiget(&self, url: &Url, ids: Vec<RemoteId>) -> Result<(Vec<Item>, Vec<RemoteId>), Fault> {
        let urls: Vec<Url> = ids.iter().map(|id| self.url(id)).collect::<Result<_, _>>()?;
        let reply = self.ask(request::multiget(url, &urls)).await?;
        if reply.status != StatusCode::MULTI_STATUS {
            return match fault(&reply, Aim::Calendar, self.now()) {
                Fault::Refused(_) => Ok((Vec::new(), ids)),
                // Of a multiget alone, or of everything: a limit is told like this too.
                Fault::Forbidden(_) => match self.trouble_of_all(url).await {
                    None => Ok((Vec::new(), ids)),
                    Some(fault) => Err(fault),
                },
                _ if reply.status == StatusCode::INTERNAL_SERVER_ERROR => Ok((Vec::new(), ids)),
                other => Err(other),
            };
        }
        let listing = Listing::read(&reply, Aim::Calendar, self.now())?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            let named = self.url(&id)?;
            let member = listing.members.iter().find(|member| same_resource(&member.url, &named));
            match member.and_then(|member| Some((member, calendar_data(member)?))) {
                Some((member, object)) => {
                    let tag = member.text(&dav::GETETAG).and_then(|text| tag(&text));
                    found.push(Item::Full { version: Version { id, tag }, object });
                }
                None => missing.push(id),
            }
        }
        Ok((found, missing))
    }

    /// The object, or nothing if the server has it not or fails on it alone.
    async fn get_if_there(&self, id: &RemoteId) -> Result<Option<Item>, Fault> {
        match self.get(id).await {
            Ok(got) => Ok(Some(got.into())),
            // One object that a server can't serve must not hold up the others; it is neither taken nor gone.
            Err(Fault::Unreachable(_)) if self.ctag_answers(id).await => Ok(None),
            Err(fault @ (Fault::Unauthorized(_) | Fault::Throttled(_) | Fault::Unreachable(_))) => Err(fault),
            Err(_) => Ok(None),
        }
    }

    /// Whether the server answers anything at all about the folder of `id`.
    async fn ctag_answers(&self, id: &RemoteId) -> bool {
        let Ok(folder) = self.url(id).and_then(|url| url.join(".").map_err(|_| Fault::Gone)) else { return false };
        self.ask(request::ctag(&folder)).await.is_ok_and(|reply| !reply.status.is_server_error())
    }

    /// One object.
    pub(super) async fn get(&self, id: &RemoteId) -> Result<Got, Fault> {
        let reply = self.ask_about(id, Ask::new(Method::GET, &self.url(id)?)).await?;
        if reply.status != StatusCode::OK {
            return Err(fault(&reply, Aim::Object, self.now()));
        }
        let octets = reply
            .body
            .strip_prefix(b"\xef\xbb\xbf")
            .map_or_else(|| reply.body.clone(), |rest| reply.body.slice_ref(rest));
        let begins =
            octets.trim_ascii_start().get(..BEGIN.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEGIN));
        if !begins {
            // A sign-in page, most likely.
            return Err(Fault::Garbled("the server's answer is no calendar object".to_owned()));
        }
        Ok(Got { version: Version { id: id.clone(), tag: etag_of(&reply) }, octets })
    }

    /// Asks about one object; when it isn't found and its path can be spelled otherwise, once more so.
    pub(super) async fn ask_about(&self, id: &RemoteId, ask: Ask) -> Result<Reply, Fault> {
        let reply = self.ask(ask.clone()).await?;
        if reply.status != StatusCode::NOT_FOUND {
            return Ok(reply);
        }
        let Some(other) = self.spellings.second_url(&self.home()?, id) else { return Ok(reply) };
        let second = self.ask(Ask { url: other.clone(), ..ask }).await?;
        if second.status == StatusCode::NOT_FOUND {
            return Ok(reply);
        }
        self.learn(&other)?;
        Ok(second)
    }
}

impl From<Got> for Item {
    fn from(got: Got) -> Self {
        Self::Full { version: got.version, object: got.octets }
    }
}

/// The entity tag of an answer to GET or PUT.
pub(super) fn etag_of(reply: &Reply) -> Option<RemoteTag> {
    tag(reply.headers.get(http::header::ETAG)?.to_str().ok()?)
}

/// How many objects are asked for at once; what is left out is asked for in the next size.
const BATCHES: [usize; 2] = [50, 10];
const AT_ONCE: usize = 2;
const BEGIN: &[u8] = b"BEGIN:VCALENDAR";
