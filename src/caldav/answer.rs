//! Multistatus answers made while they are sent: one piece in memory, the next when the peer has taken it.
//!
//! A short answer goes out whole, with its length. When the store fails in a long one, it ends cut off and never
//! complete-looking; before the first piece it is an ordinary failure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};

use crate::calendar::{Collection, Entry, View};
use crate::dav::header::Give;
use crate::dav::{Href, MultistatusWriter, Precondition, Prefer};
use crate::ical::{Budget, DataRequest, Overrun, Zone, render};
use crate::id::ResourceName;

use super::body::{Body, Cut, streamed, whole};
use super::path::Path;
use super::property::{Fragments, Plan};
use super::resource::{Facts, Resource, Subject};
use super::{Failure, Service};

/// What an answer says about one resource.
#[derive(Debug)]
pub(super) enum Item {
    /// Its properties.
    Subject(Box<Subject>),
    /// Its properties, those of an object in this calendar.
    Entry(Arc<Collection>, Arc<Entry>),
    /// It is not there.
    Gone(Href),
    /// There is more than this answer holds.
    Truncated(Href),
}

/// Where the items of an answer come from.
#[derive(Debug)]
pub(super) enum Items {
    /// They are known.
    Known(VecDeque<Item>),
    /// Some, then all objects of a calendar, by name.
    Listing(VecDeque<Item>, Arc<Collection>, Arc<View>, Option<ResourceName>),
}

impl Items {
    fn next(&mut self) -> Option<Item> {
        match self {
            Self::Known(items) => items.pop_front(),
            Self::Listing(ready, row, view, after) => {
                if ready.is_empty() {
                    let more = view.entries_after(after.as_ref()).take(AT_ONCE);
                    ready.extend(more.map(|entry| Item::Entry(row.clone(), entry.clone())));
                    if let Some(Item::Entry(_, last)) = ready.back() {
                        *after = Some(last.name.clone());
                    }
                }
                ready.pop_front()
            }
        }
    }
}

/// Entries of a listing that are looked up at once.
const AT_ONCE: usize = 64;

/// An answer in the making.
pub(super) struct Answer {
    pub(super) service: Service,
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    pub(super) prefer: Prefer,
    pub(super) items: Items,
    /// For floating times and days in the calendar data.
    pub(super) zone: Zone,
    pub(super) budget: Budget,
    pub(super) token: Option<String>,
}

impl Answer {
    /// The answer, whole if it is short.
    pub(super) async fn send(self) -> Result<Response<Body>, Failure> {
        let prefer = self.prefer;
        let writer = MultistatusWriter::new(prefer.detail());
        let mut making = Making { answer: self, writer: Some(writer), fragments: None };
        let first = making.piece().await?.unwrap_or_default();
        let length = first.len();
        let done = making.writer.is_none();
        let body = if done { whole(first) } else { streamed(rest(first, making)) };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::MULTI_STATUS;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, XML);
        headers.insert(VARY, HeaderValue::from_static("Brief, Prefer"));
        if done {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        note_preference(headers, prefer);
        Ok(response)
    }
}

/// Says which wishes were granted (RFC 7240 3).
pub(super) fn note_preference(headers: &mut HeaderMap, prefer: Prefer) {
    let granted = match (prefer.give == Give::Minimal, prefer.no_root) {
        (true, true) => "return=minimal, depth-noroot",
        (true, false) => "return=minimal",
        (false, true) => "depth-noroot",
        (false, false) => return,
    };
    headers.insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static(granted));
}

struct Making {
    answer: Answer,
    /// None when the last piece is out.
    writer: Option<MultistatusWriter>,
    /// The answer with gaps about the objects of the calendar that came last, if there can be one.
    fragments: Option<(Arc<Collection>, Option<Fragments>)>,
}

impl Making {
    /// The next piece; none when there is no more.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        let mut told = 0_usize;
        while let Some(item) = self.answer.items.next() {
            self.tell(item, &mut writer).await?;
            if let Some(piece) = writer.take_ready() {
                self.writer = Some(writer);
                return Ok(Some(piece));
            }
            told += 1;
            if told.is_multiple_of(32) {
                // Rendering is work: others on this thread get their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(Some(writer.finish(self.answer.token.as_deref())))
    }

    async fn tell(&mut self, item: Item, writer: &mut MultistatusWriter) -> Result<(), Failure> {
        let Item::Entry(row, entry) = &item else { return self.answer.tell(item, writer).await };
        if !self.fragments.as_ref().is_some_and(|(other, _)| Arc::ptr_eq(other, row)) {
            let (plan, detail) = (&self.answer.plan, self.answer.prefer.detail());
            let fragments = plan.fragments(&Path::Calendar(row.id.clone()).href(), detail);
            self.fragments = Some((row.clone(), fragments));
        }
        let Some((_, Some(fragments))) = &self.fragments else { return self.answer.tell(item, writer).await };
        let data = if self.answer.plan.needs_data() {
            let Ok(data) = self.answer.data(row, entry).await? else {
                too_much(&Subject::object(row, entry.clone()).href(), writer);
                return Ok(());
            };
            Some(data)
        } else {
            None
        };
        writer.response(|writer| fragments.write(entry, data.as_ref(), writer));
        Ok(())
    }
}

fn too_much(href: &Href, writer: &mut MultistatusWriter) {
    let limits = Precondition::NumberOfMatchesWithinLimits;
    writer.failed(href, StatusCode::INSUFFICIENT_STORAGE, Some(&limits), None);
}

fn rest(first: Bytes, making: Making) -> impl stream::Stream<Item = Result<Bytes, Cut>> + Send + 'static {
    stream::unfold((Some(first), Some(making)), |(first, making)| async {
        if let Some(first) = first {
            return Some((Ok(first), (None, making)));
        }
        let mut making = making?;
        match making.piece().await {
            Ok(piece) => Some((Ok(piece?), (None, Some(making)))),
            Err(failure) => {
                tracing::error!(?failure, "an answer broke off");
                Some((Err(Cut), (None, None)))
            }
        }
    })
}

impl Answer {
    async fn tell(&mut self, item: Item, writer: &mut MultistatusWriter) -> Result<(), Failure> {
        let mut subject = match item {
            Item::Gone(href) => {
                writer.gone(&href);
                return Ok(());
            }
            Item::Truncated(href) => {
                writer.truncated(&href);
                return Ok(());
            }
            Item::Subject(subject) => *subject,
            Item::Entry(row, entry) => {
                let mut subject = Subject::object(&row, entry);
                if self.plan.needs_dead() {
                    self.service.load_dead(&mut subject).await?;
                }
                subject
            }
        };
        let href = subject.href();
        if let Resource::Object(row, entry) = &subject.resource
            && self.plan.needs_schedule_tag()
        {
            subject.schedule_tag = self.service.schedule_tag(row, entry).await?;
        }
        if let Resource::Object(row, entry) = &subject.resource
            && self.plan.needs_data()
        {
            let Ok(data) = self.data(row, entry).await? else {
                too_much(&href, writer);
                return Ok(());
            };
            subject.data = Some(data);
        }
        self.plan.tell(&self.facts, &subject, &mut writer.member(&href));
        Ok(())
    }

    /// Reads an object's content in the form that is asked.
    async fn data(&mut self, row: &Collection, entry: &Entry) -> Result<Result<Bytes, Overrun>, Failure> {
        let calendars = &self.service.calendars;
        if self.plan.data == DataRequest::default() {
            return Ok(Ok(calendars.entry_octets(&row.id, entry).await.map_err(Failure::store)?));
        }
        let object = calendars.object(&row.id, entry).await.map_err(Failure::store)?;
        Ok(render(&object, &self.plan.data, &self.zone, &mut self.budget))
    }
}

pub(super) const XML: HeaderValue = HeaderValue::from_static("application/xml; charset=utf-8");
