//! One event: what it says, where it lives and why, and the forms that make, change and delete it.

mod form;

use askama::Template;
use http::StatusCode;
use jiff::SignedDuration;
use jiff::civil::Date;

use super::edit::{self, Frame, Scope};
use super::read::{calendars, event_href, text, title};
use crate::calendar::{Author, Conditions, Match, Overwrite, PutError, Stored};
use crate::entropy;
use crate::ical::{Budget, DateOrTime, Instance, Object, TimeRange, Zone, instances};
use crate::id::{CollectionId, CollectionName, Etag, Place, UserId};
use crate::web::page::{Answer, Page, done, shown};
use crate::web::request::{Request, Trouble};
use crate::web::{Desk, time};

use form::Fields;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<p><a href="/calendar/agenda/{{ day }}">Calendar</a></p>
<h1><bdi>{{ title }}</bdi></h1>
<p>{{ when }}{% if !repeats.is_empty() %} <span class="tag">repeats: {{ repeats }}</span>{% endif %}{% if !status.is_empty() %} <span class="tag">{{ status }}</span>{% endif %}</p>
{% if !location.is_empty() %}<p><strong>Where:</strong> <bdi>{{ location }}</bdi></p>{% endif %}
{% if !description.is_empty() %}<pre><bdi>{{ description }}</bdi></pre>{% endif %}
{% if !people.is_empty() %}<h2>People</h2><ul>{% for one in people %}<li><bdi>{{ one }}</bdi></li>{% endfor %}</ul>{% endif %}
<h2>Where it lives</h2>
<ul class="list">{% for home in homes %}<li><div><span class="dot {{ home.class }}"></span> {{ home.title }}{% if home.leads %} <span class="tag">leads</span>{% endif %}</div></li>{% endfor %}</ul>
{% if !why.is_empty() %}<p class="hint">Why: {{ why }}.</p>{% endif %}
<p><a href="/history/event/{{ event }}">Its history</a></p>
{% if writable %}<h2>Change it</h2>
{{ form|safe }}
<h2>Delete it</h2>
<form method="post" class="card"><input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="at" value="{{ at }}"><input type="hidden" name="etag" value="{{ etag }}">
{% if !at.is_empty() %}<fieldset><legend>How much of it</legend>
<label class="tick"><input type="radio" name="scope" value="this" checked> Only this one</label>
<label class="tick"><input type="radio" name="scope" value="future"> This and all later ones</label>
<label class="tick"><input type="radio" name="scope" value="all"> All of them</label></fieldset>{% endif %}
<button class="danger" name="do" value="delete">Delete</button> <span class="hint">It can be brought back from the history for 30 days.</span></form>
{% else %}<p class="note">This event can't be changed here: its calendar is read only.</p>{% endif %}
"#
)]
struct Shown {
    title: String,
    day: Date,
    when: String,
    repeats: String,
    status: String,
    location: String,
    description: String,
    people: Vec<String>,
    homes: Vec<Home>,
    why: String,
    event: String,
    writable: bool,
    form: String,
    at: String,
    etag: String,
    csrf: String,
}

struct Home {
    title: String,
    class: String,
    leads: bool,
}

/// An event as it was found.
struct Found {
    place: Place,
    stored: Stored,
    object: Object,
    seen: Instance,
    writable: bool,
    /// Which occurrence, if it repeats.
    at: String,
}

/// The pages.
pub(in crate::web) async fn get(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        ["new"] => form::blank(desk, request).await,
        [calendar, name] => {
            let found = find(desk, request, (calendar, name), request.ask().get("at")).await?;
            show(desk, request, &found, None).await
        }
        _ => Err(Trouble::NotFound),
    }
}

/// What their forms send.
pub(in crate::web) async fn post(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        ["new"] => make(desk, request).await,
        [calendar, name] => {
            let form = request.form();
            let found = find(desk, request, (calendar, name), form.get("at")).await?;
            if form.get("do") == "delete" {
                delete(desk, request, &found).await
            } else {
                change(desk, request, &found).await
            }
        }
        _ => Err(Trouble::NotFound),
    }
}

async fn find(desk: &Desk, request: &Request<'_>, (calendar, name): (&str, &str), at: &str) -> Result<Found, Trouble> {
    let user = request.user()?;
    let collection = CollectionId::new(user, calendar.parse()?);
    let place = Place { collection, name: name.parse()? };
    let stored = desk.calendars.get(&place).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    let view = desk.calendars.view(&place.collection).await.map_err(Trouble::later)?;
    let writable = view.get(&place.name).is_some_and(|entry| entry.writable);
    let object = Object::parse(stored.octets.clone()).map_err(Trouble::later)?;
    let seen = occurrence(&object, at, &time::zone(request))?.ok_or(Trouble::NotFound)?;
    let at = seen.recurrence_id.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(Found { place, stored, object, seen, writable, at })
}

/// The occurrence that a link names, or the first. Endless series are looked at for so long only; one that was moved
/// further than that from where its rule has it is found by the event's own page.
fn occurrence(object: &Object, at: &str, zone: &Zone) -> Result<Option<Instance>, Trouble> {
    let named = at.get(..8).and_then(|day| Date::strptime("%Y%m%d", day).ok());
    let starts = object.members().filter_map(|member| member.property("DTSTART"));
    let first = starts.filter_map(|line| DateOrTime::parse(line).ok()).map(|start| start.civil().date()).min();
    let Some(around) = named.or(first) else { return Ok(None) };
    let around = time::begins(around, zone);
    let far = SignedDuration::from_hours(24 * 800);
    let range =
        TimeRange { start: around.checked_sub(far).unwrap_or(around), end: around.checked_add(far).unwrap_or(around) };
    let all = instances(object, &range, zone, &mut Budget::request());
    let all = all.map_err(|overrun| Trouble::Refused(overrun.to_string()))?;
    let is_named = |one: &&Instance| one.recurrence_id.as_ref().is_some_and(|id| id.to_string() == at);
    Ok(all.iter().find(is_named).or_else(|| all.first().filter(|_| at.is_empty())).cloned())
}

async fn show(desk: &Desk, request: &Request<'_>, found: &Found, wrong: Option<(Fields, String)>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let member = found.object.members().nth(found.seen.component).ok_or(Trouble::NotFound)?;
    let fields = wrong.as_ref().map_or_else(|| Fields::of(found, member, &zone), |(fields, _)| fields.clone());
    let problem = wrong.map(|(_, problem)| problem).unwrap_or_default();
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let form = form::html(desk, request, &fields, (problem.as_str(), Some(found))).await?;
    let row = desk.calendars.event(user, found.stored.event).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    let known = calendars(desk, user).await?;
    let home = |member: &crate::calendar::Member| {
        let one = known.iter().find(|one| one.name == member.collection)?;
        Some(Home {
            title: one.title.clone(),
            class: one.class.clone(),
            leads: row.leader == member.collection && row.members.len() > 1,
        })
    };
    let people =
        ["ORGANIZER", "ATTENDEE"].into_iter().flat_map(|name| member.all(name).map(person).collect::<Vec<_>>());
    let content = Shown {
        title: title(member),
        day: zone.to_civil(found.seen.start).date(),
        when: when(&found.seen, &zone),
        repeats: form::rule_in_words(&found.object),
        status: text(member, "STATUS").to_lowercase(),
        location: text(member, "LOCATION"),
        description: text(member, "DESCRIPTION"),
        people: people.take(100).collect(),
        homes: row.members.iter().filter_map(home).collect(),
        why: why(desk, user, found).await?,
        event: found.stored.event.to_string(),
        writable: found.writable,
        form,
        at: found.at.clone(),
        etag: found.stored.etag.0.clone(),
        csrf: request.csrf(),
    };
    Page { title: &content.title, here: "/calendar", content: &content }.answer(request, status)
}

fn person(line: &crate::ical::Property) -> String {
    let address = line.value().trim_start_matches("mailto:");
    let name = line.param("CN").map(|name| format!("{name}, ")).unwrap_or_default();
    let answer = line.param("PARTSTAT").map(|said| format!(" ({})", said.to_lowercase())).unwrap_or_default();
    let role = if line.is("ORGANIZER") { " – organiser" } else { "" };
    shown(&format!("{name}{address}{answer}{role}"))
}

/// `Thursday 5 March 2026, 09:00–10:00`
fn when(seen: &Instance, zone: &Zone) -> String {
    let (start, end) = (zone.to_civil(seen.start), zone.to_civil(seen.end));
    let day = time::long_day(start.date());
    if seen.all_day {
        let last = end.date().yesterday().unwrap_or_else(|_| end.date());
        return if last <= start.date() { day } else { format!("{day} – {}", time::long_day(last)) };
    }
    let (from, to) = (start.strftime("%H:%M"), end.strftime("%H:%M"));
    if start.date() == end.date() {
        format!("{day}, {from}–{to}")
    } else {
        format!("{day}, {from} – {}, {to}", time::long_day(end.date()))
    }
}

/// The rule by which the event came to be where it is, from the audit log.
async fn why(desk: &Desk, user: &UserId, found: &Found) -> Result<String, Trouble> {
    let lines = desk.calendars.audit(user, 2000).await.map_err(Trouble::later)?;
    let mut own = lines.into_iter().filter(|(_, line)| line.event == found.stored.event);
    Ok(own.find_map(|(_, line)| line.rule).map(|rule| shown(&rule)).unwrap_or_default())
}

async fn make(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let fields = Fields::read(&request.form());
    let refused = |problem: String| form::again(desk, request, fields.clone(), problem);
    let wanted = match fields.wanted() {
        Ok(wanted) => wanted,
        Err(problem) => return refused(problem).await,
    };
    let uid = uid(desk);
    let object = edit::create(&wanted, &Frame { now: desk.clock.now(), zone: &zone, uid: &uid });
    let object = match object {
        Ok(object) => object,
        Err(problem) => return refused(problem.to_string()).await,
    };
    let calendar: CollectionName = fields.calendar.parse().unwrap_or_else(|_| CollectionName::unified());
    let place = Place { collection: CollectionId::new(user, calendar.clone()), name: format!("{uid}.ics").parse()? };
    let put = desk.calendars.put(&place, object, &Conditions::absent(), &Author::Person(user.clone())).await;
    match put {
        Ok(put) => desk.settle(&put.pending).await?,
        Err(PutError::Refused(why)) => return refused(format!("{why}.")).await,
        Err(error) => return Err(error.into()),
    }
    done(&format!("/calendar/agenda/{}", wanted.start.date()), &format!("{} is saved.", wanted.title))
}

fn uid(desk: &Desk) -> String {
    entropy::token(&*desk.entropy, 16)
}

/// The event must still be as the form saw it: another's change in between is never overwritten.
fn as_seen(found: &Found, request: &Request<'_>) -> Result<Conditions, Trouble> {
    let etag = Etag(request.form().get("etag").to_owned());
    if etag != found.stored.etag {
        return Err(changed_meanwhile());
    }
    Ok(Conditions { if_match: Some(Match::OneOf(vec![etag])), if_none_match: None })
}

fn changed_meanwhile() -> Trouble {
    Trouble::Refused("Somebody else has changed this event meanwhile. Go back and load it anew; what you typed is still in the form.".to_owned())
}

async fn change(desk: &Desk, request: &Request<'_>, found: &Found) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let form = request.form();
    let fields = Fields::read(&form);
    let conditions = as_seen(found, request)?;
    let wanted = match fields.wanted() {
        Ok(wanted) => wanted,
        Err(problem) => return show(desk, request, found, Some((fields, problem))).await,
    };
    let uid = uid(desk);
    let frame = Frame { now: desk.clock.now(), zone: &zone, uid: &uid };
    let edited = match Scope::named(form.get("scope")) {
        Scope::This => edit::this(&found.object, &found.seen, &wanted, &frame).map(|object| (Some(object), None)),
        Scope::Future => edit::future(&found.object, &found.seen, &wanted, &frame).map(|(left, new)| match left {
            Some(left) => (Some(left), Some(new)),
            None => (Some(new), None),
        }),
        Scope::All => edit::all(&found.object, &found.seen, &wanted, &frame).map(|object| (Some(object), None)),
    };
    let (object, new) = match edited {
        Ok(edited) => edited,
        Err(problem) => return show(desk, request, found, Some((fields, format!("{problem}.")))).await,
    };
    let author = Author::Person(user.clone());
    let (mut pending, mut later) = (Vec::new(), None);
    if let Some(new) = new {
        // The later part exists before the earlier one is cut: whatever fails between, nothing is lost.
        let row =
            desk.calendars.event(user, found.stored.event).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
        let place = Place { collection: CollectionId::new(user, row.leader), name: format!("{uid}.ics").parse()? };
        pending.extend(desk.calendars.put(&place, new, &Conditions::absent(), &author).await?.pending);
        later = Some(place);
    }
    if let Some(object) = object {
        let put = desk.calendars.put(&found.place, object, &conditions, &author).await;
        if let (Err(_), Some(later)) = (&put, &later) {
            // Not cut, so nothing may stand beside it.
            desk.calendars.delete(later, &Conditions::NONE, &author).await?;
        }
        match put {
            Ok(put) => pending.extend(put.pending),
            Err(PutError::ConditionFailed) => return Err(changed_meanwhile()),
            Err(error) => return Err(error.into()),
        }
    }
    desk.settle(&pending).await?;
    let moved = move_home(desk, user, found, &fields.calendar).await?;
    let place = moved.as_ref().unwrap_or(&found.place);
    let href = event_href(&place.collection.name, place.name.as_str(), None);
    done(&href, &format!("{} is saved.", wanted.title))
}

/// Moves the event to the calendar that the form names, if that is another.
async fn move_home(desk: &Desk, user: &UserId, found: &Found, wanted: &str) -> Result<Option<Place>, Trouble> {
    let Ok(wanted) = wanted.parse::<CollectionName>() else { return Ok(None) };
    let row = desk.calendars.event(user, found.stored.event).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    if wanted.is_unified() || row.members.iter().any(|member| member.collection == wanted) {
        return Ok(None);
    }
    let Some(own) = row.member(&row.leader) else { return Ok(None) };
    let at = |collection: &CollectionName| Place {
        collection: CollectionId::new(user, collection.clone()),
        name: own.name.clone(),
    };
    let (from, to) = (at(&row.leader), at(&wanted));
    let author = Author::Person(user.clone());
    let put = desk.calendars.move_to(&from, &to, Overwrite::Forbidden, &Conditions::NONE, &author).await?;
    desk.settle(&put.pending).await?;
    Ok(Some(to))
}

async fn delete(desk: &Desk, request: &Request<'_>, found: &Found) -> Answer {
    let user = request.user()?;
    let conditions = as_seen(found, request)?;
    let author = Author::Person(user.clone());
    let scope = Scope::named(request.form().get("scope"));
    let is_first = found
        .object
        .master()
        .and_then(|master| master.property("DTSTART"))
        .is_some_and(|line| DateOrTime::parse(line).ok() == found.seen.recurrence_id);
    let is_whole = found.at.is_empty() || scope == Scope::All || (scope == Scope::Future && is_first);
    let left = match scope {
        _ if is_whole => None,
        Scope::This => Some(edit::without_this(&found.object, &found.seen)),
        Scope::Future | Scope::All => Some(edit::before(&found.object, &found.seen)),
    };
    let pending = match left {
        None => desk.calendars.delete(&found.place, &conditions, &author).await?.pending,
        Some(Ok(object)) => desk.calendars.put(&found.place, object, &conditions, &author).await?.pending,
        Some(Err(problem)) => return Err(Trouble::Refused(problem.to_string())),
    };
    desk.settle(&pending).await?;
    let day = time::zone(request).to_civil(found.seen.start).date();
    done(&format!("/calendar/agenda/{day}"), "It is deleted. The history has it for 30 days.")
}
