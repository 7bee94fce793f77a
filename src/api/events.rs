//! Events: expanded for reading, one by one for writing.

use std::time::Duration;

use http::header::{ETAG, HeaderName, HeaderValue, LINK, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::{Answer, Api, Payload, Problem, Request, empty, json};
use crate::agenda::{
    Asked, Clockwork, Input, Label, Occurrence, Outcome, Scope, Series, agenda, busy_times, occurrences, quick,
};
use crate::calendar::{Conditions, EventRow, Pending, PutError};
use crate::dav::Match;
use crate::entropy;
use crate::ical::{Budget, BusyKind, DateOrTime, Object, TimeRange, Zone, Zones};
use crate::id::{CollectionId, CollectionName, EventId, Place};
use crate::sync::Verdict;

/// An event as it is, to be changed.
struct Current {
    row: EventRow,
    object: Object,
    place: Place,
    id: EventId,
    /// Which occurrence the id names.
    key: Option<String>,
}

impl Api {
    pub(super) async fn list_events(&self, request: &Request<'_>) -> Answer {
        let asked = asked(request, self.parts.clock.now())?;
        let mut found = agenda(&self.parts.calendars, &request.who.user, &asked).await?;
        let limit = match request.asked("limit") {
            None => usize::MAX,
            Some(text) => {
                text.parse::<usize>().ok().filter(|limit| *limit > 0).ok_or_else(|| bad("limit is no number"))?
            }
        };
        if let Some(after) = request.asked("after") {
            let (seconds, id) = after.split_once('~').ok_or_else(|| bad("after is no cursor of an earlier answer"))?;
            let seconds: i64 = seconds.parse().map_err(|_| bad("after is no cursor of an earlier answer"))?;
            found.retain(|one| (one.starts.as_second(), one.id.as_str()) > (seconds, id));
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let mut response = json(StatusCode::OK, &found);
        if let (true, Some(last)) = (more, found.last()) {
            let link = next_page(request.query, last);
            response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|link| (LINK, link)));
        }
        Ok(response)
    }

    /// What would be made of a line of text; it is saved by sending the answer back to `events`.
    pub(super) fn quick(&self, request: &Request<'_>) -> Answer {
        let text = request.asked("text").unwrap_or_default();
        let input = quick(&text, &clockwork(request)?, self.parts.clock.now())?;
        Ok(json(StatusCode::OK, &input))
    }

    pub(super) async fn free_busy(&self, request: &Request<'_>) -> Answer {
        let asked = asked(request, self.parts.clock.now())?;
        let taken = busy_times(&self.parts.calendars, &request.who.user, &asked).await?;
        let word = |kind| match kind {
            BusyKind::Busy => "busy",
            BusyKind::Tentative => "tentative",
            BusyKind::Unavailable => "unavailable",
        };
        let taken: Vec<_> = taken
            .iter()
            .map(|one| {
                let (start, end) = (asked.clock.written(one.start), asked.clock.written(one.end));
                serde_json::json!({ "start": start, "end": end, "kind": word(one.kind) })
            })
            .collect();
        Ok(json(StatusCode::OK, &taken))
    }

    pub(super) async fn event(&self, request: &Request<'_>, id: &str) -> Answer {
        let current = self.current(request, id).await?;
        let event = self.described(request, current.id).await?;
        Ok(with_tag(json(StatusCode::OK, &event), &current.row.etag.etag().0))
    }

    pub(super) async fn create_event(&self, request: &Request<'_>) -> Answer {
        let input: Input = request.read()?;
        let uid = entropy::token(&*self.parts.entropy, 16);
        let object = input.create(&uid, self.parts.clock.now())?;
        let name = match &input.source {
            None => CollectionName::unified(),
            Some(text) => text.parse().map_err(|_| Problem::not_found("There is no such calendar."))?,
        };
        let collection = CollectionId::new(&request.who.user, name);
        let place = place(collection, &uid)?;
        let put = self.parts.calendars.put(&place, object, &Conditions::absent(), &request.author()).await?;
        self.settle(&put.pending).await?;
        let event = self.described(request, put.event).await?;
        let mut response = with_tag(json(StatusCode::CREATED, &event), &put.etag.0);
        let location = format!("/api/v1/events/{}", put.event);
        response.headers_mut().extend(HeaderValue::from_str(&location).ok().map(|at| (LOCATION, at)));
        Ok(response)
    }

    pub(super) async fn change_event(&self, request: &Request<'_>, id: &str) -> Answer {
        let input: Input = request.read()?;
        let current = self.current(request, id).await?;
        let scope = scope(request, current.key.is_some())?;
        let new_uid = entropy::token(&*self.parts.entropy, 16);
        let series = Series::at(&current.object, current.key.as_deref(), self.parts.clock.now())?;
        let event = match series.change(&input, scope, &new_uid)? {
            Outcome::Changed(object) => {
                self.replace(request, &current, object).await?;
                current.id
            }
            Outcome::Split { before, after } => {
                // The later part first: were this to end in between, nothing would be missing.
                let beside = place(current.place.collection.clone(), &new_uid)?;
                let put = self.parts.calendars.put(&beside, after, &Conditions::absent(), &request.author()).await?;
                if let Err(problem) = self.replace(request, &current, before).await {
                    let taken_back = self.parts.calendars.delete(&beside, &Conditions::NONE, &request.author()).await;
                    taken_back.map_err(Problem::from)?;
                    return Err(problem);
                }
                self.settle(&put.pending).await?;
                put.event
            }
            Outcome::Deleted => current.id,
        };
        let row = self.parts.calendars.event(&request.who.user, event).await.map_err(Problem::internal)?;
        let etag = row.map(|row| row.etag.etag().0).unwrap_or_default();
        Ok(with_tag(json(StatusCode::OK, &self.described(request, event).await?), &etag))
    }

    pub(super) async fn delete_event(&self, request: &Request<'_>, id: &str) -> Answer {
        let current = self.current(request, id).await?;
        let scope = scope(request, current.key.is_some())?;
        let series = Series::at(&current.object, current.key.as_deref(), self.parts.clock.now())?;
        match series.delete(scope)? {
            Outcome::Changed(object) => self.replace(request, &current, object).await?,
            Outcome::Deleted | Outcome::Split { .. } => {
                let unchanged = Conditions::unchanged(current.row.etag.etag());
                let deleted = self.parts.calendars.delete(&current.place, &unchanged, &request.author()).await?;
                self.settle(&deleted.pending).await?;
            }
        }
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn replace(&self, request: &Request<'_>, current: &Current, object: Object) -> Result<(), Problem> {
        let unchanged = Conditions::unchanged(current.row.etag.etag());
        let put = self.parts.calendars.put(&current.place, object, &unchanged, &request.author()).await?;
        self.settle(&put.pending).await
    }

    /// Waits a moment for the providers' word.
    async fn settle(&self, pending: &[Pending]) -> Result<(), Problem> {
        let wait = self.settings.write_through;
        if pending.is_empty() || wait == Duration::ZERO {
            return Ok(());
        }
        match self.parts.sync.verdict(pending, wait).await {
            Some(Verdict::Refused(why)) => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("The account behind this calendar refused the change: {why}"),
            )),
            Some(Verdict::Accepted) | None => Ok(()),
        }
    }

    /// The event that an id names, if the request's If-Match holds.
    async fn current(&self, request: &Request<'_>, id: &str) -> Result<Current, Problem> {
        let none = || Problem::not_found("There is no such event.");
        let (number, key) = match id.split_once('_') {
            Some((number, key)) => (number, Some(key.to_owned())),
            None => (id, None),
        };
        let id = EventId(u64::from_str_radix(number, 16).map_err(|_| none())?);
        let user = &request.who.user;
        let row = self.parts.calendars.event(user, id).await.map_err(Problem::internal)?.ok_or_else(none)?;
        let (collection, name) = row.places().last().filter(|_| row.is_alive()).ok_or_else(none)?;
        let place = Place { collection: CollectionId::new(user, collection), name };
        let asked = Match::if_match(request.headers).map_err(|error| bad(&error.to_string()))?;
        if asked.is_some_and(|asked| !asked.means(Some(&row.etag.etag().0))) {
            return Err(PutError::ConditionFailed.into());
        }
        let object = self.parts.calendars.revision(user, id, row.revision).await.map_err(Problem::internal)?;
        Ok(Current { object: object.ok_or_else(none)?, row, place, id, key })
    }

    /// An event as its first occurrence shows it.
    async fn described(&self, request: &Request<'_>, id: EventId) -> Result<Occurrence, Problem> {
        let user = &request.who.user;
        let none = || Problem::not_found("There is no such event.");
        let row = self.parts.calendars.event(user, id).await.map_err(Problem::internal)?.ok_or_else(none)?;
        let object = self.parts.calendars.revision(user, id, row.revision).await.map_err(Problem::internal)?;
        let object = object.ok_or_else(none)?;
        let home = CollectionId::new(user, row.leader.clone());
        let home = self.parts.calendars.collection(&home).await.map_err(Problem::internal)?;
        let label = Label {
            event: id.to_string(),
            source: Some(row.leader.to_string()),
            color: home.as_ref().and_then(|home| home.color.clone()),
            etag: Some(row.etag.etag().0),
            editable: home.is_some_and(|home| home.is_writable()),
        };
        let clock = clockwork(request)?;
        let start = first_start(&object, &clock).ok_or_else(none)?;
        let range = TimeRange { start, end: start + SignedDuration::from_hours(24 * 366) };
        let found = occurrences(&object, &label, &range, &clock, &mut Budget::object());
        let first = found.unwrap_or_default().into_iter().next();
        first.ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "The event has no occurrence."))
    }
}

fn first_start(object: &Object, clock: &Clockwork) -> Option<Timestamp> {
    let leading = object.master().or_else(|| object.members().next())?;
    let start = DateOrTime::parse(leading.property("DTSTART")?).ok()?;
    Some(match &start {
        DateOrTime::Utc(instant) => *instant,
        DateOrTime::Zoned { local, tzid } => Zones::of(object).get(tzid).unwrap_or(&Zone::UTC).to_instant(*local),
        other => clock.reading().to_instant(other.civil()),
    })
}

#[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
fn scope(request: &Request<'_>, names_one: bool) -> Result<Scope, Problem> {
    match request.asked("scope").as_deref() {
        Some("this") => Ok(Scope::This),
        Some("future") => Ok(Scope::Future),
        Some("all") => Ok(Scope::All),
        // An id of one occurrence means that one.
        None if names_one => Ok(Scope::This),
        None => Ok(Scope::All),
        Some(_) => Err(bad("scope is one of: this, future, all")),
    }
}

fn place(collection: CollectionId, uid: &str) -> Result<Place, Problem> {
    let name = format!("{uid}.ics").parse().map_err(Problem::internal)?;
    Ok(Place { collection, name })
}

fn clockwork(request: &Request<'_>) -> Result<Clockwork, Problem> {
    let zone = request.asked("timeZone").unwrap_or_default();
    Clockwork::named(&zone).ok_or_else(|| bad("timeZone is no name such as Europe/Berlin"))
}

fn asked(request: &Request<'_>, now: Timestamp) -> Result<Asked, Problem> {
    let clock = clockwork(request)?;
    let moment = |name: &str, otherwise: Timestamp| match request.asked(name) {
        None => Ok(otherwise),
        Some(text) => {
            clock.moment(&text).ok_or_else(|| bad(&format!("{name} is no time such as 2026-03-01T00:00:00Z")))
        }
    };
    let start = moment("start", now)?;
    let end = moment("end", start + SignedDuration::from_hours(24 * 31))?;
    if end < start {
        return Err(bad("end lies before start"));
    }
    let sources: Result<Vec<CollectionName>, _> = request.asked_all("source").iter().map(|one| one.parse()).collect();
    let sources = sources.map_err(|_| bad("source is no calendar"))?;
    Ok(Asked { range: TimeRange { start, end }, clock, sources })
}

fn bad(words: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, words)
}

fn next_page(query: &str, last: &Occurrence) -> String {
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "after") {
        next.append_pair(&name, &value);
    }
    next.append_pair("after", &format!("{}~{}", last.starts.as_second(), last.id));
    format!("</api/v1/events?{}>; rel=\"next\"", next.finish())
}

fn with_tag(mut response: Response<Payload>, etag: &str) -> Response<Payload> {
    set(response.headers_mut(), ETAG, &format!("\"{etag}\""));
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}
