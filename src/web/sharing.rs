//! Feeds: calendars for those who only read. Made, listed and revoked by their owner; the address is shown once.

use askama::Template;
use http::StatusCode;
use jiff::SignedDuration;

use super::calendar::calendars;
use super::devices::qr;
use super::form::Form;
use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, time};
use crate::id::CollectionName;
use crate::subscription::{AllDay, Detail, FeedError, FeedId, Kind, Rules};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Feeds</h1>
<p>A feed shows chosen calendars to people who have no login here: its address is the key. What it shows never goes beyond what you choose.</p>
{% if !problem.is_empty() %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
{% if let Some(made) = made %}<section class="card" aria-labelledby="made"><h2 id="made">Address of {{ made.name }}</h2>
<p>It is shown only now. Whoever has it can read the feed.</p>
<p class="secret mono" id="address">{{ made.url }}</p>
<button type="button" data-copy="address" hidden>Copy</button> <a class="button" href="{{ made.webcal }}">Subscribe on this device</a>
{{ made.qr|safe }}</section>{% endif %}
<section><h2>Your feeds</h2>
{% if feeds.is_empty() %}<p>None yet.</p>{% else %}<ul class="list">{% for one in feeds %}<li><div><strong><bdi>{{ one.name }}</bdi></strong> <span class="tag">{{ one.detail }}</span><br>
<span class="hint">{{ one.calendars }}; made {{ one.created }}, last read {{ one.used }}{% if !one.expires.is_empty() %}, ends {{ one.expires }}{% endif %}</span></div>
<form method="post" action="/sharing/revoke"><input type="hidden" name="csrf" value="{{ csrf }}"><button class="danger" name="id" value="{{ one.id }}">Revoke</button></form></li>{% endfor %}</ul>{% endif %}</section>
<section><h2>New feed</h2>
<form method="post" action="/sharing/add" class="card"><input type="hidden" name="csrf" value="{{ csrf }}">
<label for="name">Name</label><input id="name" name="name" value="{{ typed }}" required maxlength="100">
<label for="detail">What it shows</label><select id="detail" name="detail">
<option value="busy">Only that I am busy</option><option value="titles">Times and titles</option><option value="full">Everything</option><option value="freebusy">Free/busy for scheduling (VFREEBUSY)</option></select>
<fieldset><legend>Calendars</legend>{% for one in calendars %}<label class="tick"><input type="checkbox" name="source" value="{{ one.name }}"> <span class="dot {{ one.class }}"></span> {{ one.title }}</label>{% endfor %}
<p class="hint">Tick none for all that are part of the unified calendar.</p></fieldset>
<div class="row"><div><label for="past">Days back</label><input id="past" name="past" type="number" min="0" max="36500" placeholder="all"></div>
<div><label for="future">Days ahead</label><input id="future" name="future" type="number" min="0" max="36500" placeholder="all"></div>
<div><label for="ends">Ends after days</label><input id="ends" name="ends" type="number" min="1" max="3650" placeholder="never"></div>
<div><label for="all_day">Whole days</label><select id="all_day" name="all_day"><option value="with">shown</option><option value="without">left out</option><option value="only">they alone</option></select></div></div>
<div class="row"><div><label for="pattern">Only titles like</label><input id="pattern" name="pattern" maxlength="200" placeholder="*lunch*"></div>
<div><label for="category">Only category</label><input id="category" name="category" maxlength="100"></div></div>
<label class="tick"><input type="checkbox" name="declined" value="1"> Also meetings that I declined</label>
<label class="tick"><input type="checkbox" name="alarms" value="1"> Pass on reminders</label>
<button class="main">Make the feed</button></form></section>
"#
)]
#[expect(clippy::struct_field_names, reason = "the names of the field's own words")]
struct Feeds<'a> {
    problem: &'a str,
    typed: String,
    made: Option<&'a Made>,
    feeds: Vec<Row>,
    calendars: Vec<super::calendar::Calendar>,
    csrf: String,
}

struct Made {
    name: String,
    url: String,
    webcal: String,
    qr: String,
}

struct Row {
    id: String,
    name: String,
    detail: &'static str,
    calendars: String,
    created: String,
    used: String,
    expires: String,
}

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>) -> Answer {
    show(desk, request, "", None).await
}

async fn show(desk: &Desk, request: &Request<'_>, problem: &str, made: Option<&Made>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let calendars = calendars(desk, user).await?;
    let title = |name: &CollectionName| {
        let known = calendars.iter().find(|one| one.name == *name);
        known.map_or_else(|| name.to_string(), |one| one.title.clone())
    };
    let mut feeds = Vec::new();
    for one in desk.subscriptions.list(user).await.map_err(Trouble::later)? {
        let names: Vec<String> = one.rules.sources.iter().map(title).collect();
        feeds.push(Row {
            id: one.id.0.clone(),
            name: shown(&one.name),
            detail: detail(&one.rules),
            calendars: if names.is_empty() { "all calendars".to_owned() } else { names.join(", ") },
            created: time::moment(one.created, &zone),
            used: time::maybe(one.last_used, &zone),
            expires: one.expires.map(|at| time::moment(at, &zone)).unwrap_or_default(),
        });
    }
    let typed = if problem.is_empty() { String::new() } else { request.form().get("name").to_owned() };
    let content = Feeds { problem, typed, made, feeds, calendars, csrf: request.csrf() };
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Page { title: "Feeds", here: "/sharing", content: &content }.answer(request, status)
}

fn detail(rules: &Rules) -> &'static str {
    match (rules.kind, rules.detail) {
        (Kind::FreeBusy, _) => "free/busy",
        (Kind::Events, Detail::Full) => "everything",
        (Kind::Events, Detail::Titles) => "titles",
        (Kind::Events, Detail::Busy) => "busy only",
    }
}

/// What the form asks for, or which field is wrong.
fn rules(form: &Form) -> Result<Rules, String> {
    let number = |name: &str, field: &str| match form.word(name) {
        "" => Ok(None),
        text => text.parse::<u32>().map(Some).map_err(|_| format!("{field}: {text} is no number of days.")),
    };
    let mut sources = Vec::new();
    for name in form.all("source") {
        sources.push(name.parse::<CollectionName>().map_err(|_| "Calendars: one of them is not yours.".to_owned())?);
    }
    let text = |name: &str| Some(form.word(name).to_owned()).filter(|text| !text.is_empty());
    Ok(Rules {
        kind: if form.get("detail") == "freebusy" { Kind::FreeBusy } else { Kind::Events },
        sources,
        // What is not said is the least.
        detail: match form.get("detail") {
            "full" => Detail::Full,
            "titles" => Detail::Titles,
            _ => Detail::Busy,
        },
        past: number("past", "Days back")?,
        future: number("future", "Days ahead")?,
        all_day: match form.get("all_day") {
            "without" => AllDay::Without,
            "only" => AllDay::Only,
            _ => AllDay::With,
        },
        declined: form.has("declined"),
        categories: text("category").into_iter().collect(),
        pattern: text("pattern"),
        alarms: form.has("alarms"),
        ..Rules::default()
    })
}

/// What its forms send.
pub(super) async fn post(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    let form = request.form();
    match path {
        ["add"] => add(desk, request, &form).await,
        ["revoke"] => {
            let id = FeedId(form.get("id").to_owned());
            match desk.subscriptions.revoke(request.user()?, &id).await {
                Ok(()) => done("/sharing", "The feed is revoked; its address says so to its readers."),
                Err(FeedError::Store(error)) => Err(Trouble::later(error)),
                Err(_) => Err(Trouble::NotFound),
            }
        }
        _ => Err(Trouble::NotFound),
    }
}

async fn add(desk: &Desk, request: &Request<'_>, form: &Form) -> Answer {
    let user = request.user()?;
    let rules = match rules(form) {
        Ok(rules) => rules,
        Err(problem) => return show(desk, request, &problem, None).await,
    };
    let known = calendars(desk, user).await?;
    if rules.sources.iter().any(|name| !known.iter().any(|one| one.name == *name)) {
        return show(desk, request, "Calendars: one of them is not yours.", None).await;
    }
    let days = form.word("ends").parse::<i64>().ok().filter(|days| (1..=3650).contains(days));
    let expires = days.and_then(|days| desk.clock.now().checked_add(SignedDuration::from_hours(24 * days)).ok());
    match desk.subscriptions.add(user, form.word("name"), rules, expires).await {
        Ok((feed, token)) => {
            let url = format!("{}/feeds/{}.ics", desk.settings.public_url, token.expose_str().unwrap_or_default());
            let place = url.split_once("://").map_or("", |(_, place)| place);
            let webcal = format!("webcal://{place}");
            let made = Made { name: shown(&feed.name), qr: qr(&webcal, "The address as a QR code"), webcal, url };
            show(desk, request, "", Some(&made)).await
        }
        Err(FeedError::Store(error)) => Err(Trouble::later(error)),
        Err(error) => show(desk, request, &format!("Name: {error}."), None).await,
    }
}
