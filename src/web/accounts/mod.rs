//! Accounts and the calendars inside them: connecting, health, what is mirrored and how it is shown.

mod connect;

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, time};
use crate::account::Account;
use crate::calendar::{Collection, CollectionChange, CollectionKind, Mirror, Privacy};
use crate::ical::Zone;
use crate::id::{AccountId, CollectionId, CollectionName, UserId};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<div class="bar"><h1>Accounts</h1><a class="button main" href="/accounts/new">Connect an account</a></div>
{% if accounts.is_empty() %}<p class="note">No account is connected yet. Connect the ones you have: their calendars are mirrored here,
both ways, and show as one calendar on all your devices.</p>{% endif %}
<div data-live="5" data-stream="/api/v1/stream">
{% for account in accounts %}
<section class="card" aria-labelledby="{{ account.id }}">
<div class="bar"><h2 id="{{ account.id }}">{{ account.label }}</h2> <span class="tag">{{ account.provider }}</span>
<span class="tag {{ account.state }}">{{ account.word }}</span></div>
{% if !account.reason.is_empty() %}<p class="problem">{{ account.reason }}</p>{% endif %}
{% if account.importing > 0 %}<p><label for="p-{{ account.id }}">First import: {{ account.events }} event{% if account.events != 1 %}s{% endif %} so far, {{ account.importing }} calendar{% if account.importing != 1 %}s{% endif %} still to be read</label>
<progress id="p-{{ account.id }}"></progress></p>{% endif %}
<p class="hint">Last contact that went well: {{ account.last }}; next: {{ account.next }}{% if account.queue > 0 %}; {% if account.queue == 1 %}1 change waits{% else %}{{ account.queue }} changes wait{% endif %} to go there{% endif %}</p>
<form method="post" action="/accounts/{{ account.id }}" class="row"><input type="hidden" name="csrf" value="{{ csrf }}">
<button name="do" value="sync">Sync now</button>
{% if account.paused %}<button name="do" value="resume">Resume</button>{% else %}<button name="do" value="pause">Pause</button>{% endif %}
<a class="button" href="/accounts/{{ account.id }}/reconnect">Sign in again</a>
<a class="button danger" href="/accounts/{{ account.id }}/remove">Remove…</a></form>
<h3>Calendars</h3>
<ul class="list">{% for one in account.sources %}<li><div><span class="dot {{ one.class }}"></span> <a href="/accounts/calendar/{{ one.name }}">{{ one.title }}</a>
{% if one.default %}<span class="tag good">new events go here</span>{% endif %} <span class="tag">{{ one.mirror }}</span>{% if one.busy %} <span class="tag">others see busy only</span>{% endif %}{% if one.missing %} <span class="tag bad">no longer there</span>{% endif %}
<br><span class="hint">{{ one.count }} event{% if one.count != 1 %}s{% endif %}</span></div><a class="button" href="/accounts/calendar/{{ one.name }}" aria-label="Settings of {{ one.title }}">Settings</a></li>
{% endfor %}</ul>
</section>
{% endfor %}
<section class="card" aria-labelledby="local"><h2 id="local">On this server</h2>
<ul class="list">{% for one in local %}<li><div><span class="dot {{ one.class }}"></span> <a href="/accounts/calendar/{{ one.name }}">{{ one.title }}</a>
{% if one.default %}<span class="tag good">new events go here</span>{% endif %}<br><span class="hint">{{ one.count }} event{% if one.count != 1 %}s{% endif %}, kept here alone</span></div></li>
{% endfor %}</ul></section>
</div>
"#
)]
struct List {
    accounts: Vec<Shown>,
    local: Vec<Row>,
    csrf: String,
}

struct Shown {
    id: String,
    label: String,
    provider: &'static str,
    state: &'static str,
    word: &'static str,
    reason: String,
    last: String,
    next: String,
    queue: usize,
    paused: bool,
    /// Calendars that were never read whole.
    importing: usize,
    events: usize,
    sources: Vec<Row>,
}

struct Row {
    name: String,
    title: String,
    class: String,
    mirror: &'static str,
    default: bool,
    busy: bool,
    missing: bool,
    count: usize,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"
<p><a href="/accounts">Accounts</a></p>
<h1><span class="dot {{ class }}"></span> {{ title }}</h1>
{% for line in remarks %}<p class="problem">{{ line }}</p>{% endfor %}
{% if held %}<form method="post" class="card"><input type="hidden" name="csrf" value="{{ csrf }}">
<p>If these events were really deleted over there, confirm it; until then they stay here.</p>
<button class="danger" name="do" value="confirm">Confirm the deletions</button></form>{% endif %}
<form method="post" class="card"><input type="hidden" name="csrf" value="{{ csrf }}">
<label for="name">Name</label><input id="name" name="name" value="{{ title }}" required maxlength="200">
<label for="color">Colour</label><input id="color" name="color" type="color" value="{{ color }}">
{% if mirrored %}<label for="mirror">Mirror</label>
<select id="mirror" name="mirror">
<option value="two-way"{% if mirror == "both ways" %} selected{% endif %}>Both ways</option>
<option value="read-only"{% if mirror == "read only" %} selected{% endif %}>Only from there to here</option>
<option value="off"{% if mirror == "off" %} selected{% endif %}>Not at all; what is here stays</option>
</select>{% endif %}
<label for="privacy">What others see of it</label>
<select id="privacy" name="privacy"><option value="full">Everything</option><option value="busy"{% if busy %} selected{% endif %}>Only that I am busy</option></select>
<label class="tick"><input type="checkbox" name="default" value="1"{% if default %} checked disabled{% endif %}> New events of the unified calendar go here</label>
<button class="main" name="do" value="save">Save</button></form>
<h2>For programs that want this calendar alone</h2>
<p><code>{{ address }}</code></p>
"##
)]
#[expect(clippy::struct_excessive_bools, reason = "what a page shows or hides")]
struct Settings {
    title: String,
    class: String,
    color: String,
    mirrored: bool,
    mirror: &'static str,
    busy: bool,
    default: bool,
    remarks: Vec<String>,
    held: bool,
    address: String,
    csrf: String,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Remove {{ label }}?</h1>
<p>Its calendars and their {{ events }} event{% if events != 1 %}s{% endif %} are taken from here and from your devices. Everything stays at the provider.{% if queue > 0 %}
<strong>{% if queue == 1 %}1 change that has not gone there yet is lost.{% else %}{{ queue }} changes that have not gone there yet are lost.{% endif %}</strong>{% endif %}</p>
<form method="post" action="/accounts/{{ id }}" class="row"><input type="hidden" name="csrf" value="{{ csrf }}">
<button class="danger" name="do" value="remove">Remove the account</button> <a class="button" href="/accounts">Keep it</a></form>
"#
)]
struct Remove {
    id: String,
    label: String,
    events: usize,
    queue: usize,
    csrf: String,
}

/// The pages.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        [] => list(desk, request).await,
        ["new"] => connect::choose(desk, request),
        ["new", provider] => connect::form(desk, request, provider),
        ["calendar", name] => settings(desk, request, name).await,
        [id, "remove"] => confirm_removal(desk, request, id).await,
        [id, "reconnect"] => connect::again(desk, request, id).await,
        _ => Err(Trouble::NotFound),
    }
}

/// What their forms send.
pub(super) async fn post(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        ["new", provider] => connect::connect(desk, request, provider).await,
        ["calendar", name] => change(desk, request, name).await,
        [id] => act(desk, request, id).await,
        [id, "reconnect"] => connect::reconnect(desk, request, id).await,
        _ => Err(Trouble::NotFound),
    }
}

/// One of the person's own accounts.
async fn own(desk: &Desk, user: &UserId, id: &str) -> Result<Account, Trouble> {
    let id: AccountId = id.parse()?;
    let mine = desk.accounts.list(user).await?;
    mine.into_iter().find(|account| account.id == id).ok_or(Trouble::NotFound)
}

async fn list(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let status = desk.sync.status(Some(user)).await?;
    let rows = rows(desk, user).await?;
    let mut accounts = Vec::new();
    for one in status.accounts {
        let mut sources = Vec::new();
        for (row, collection) in &rows {
            if collection.source().is_some_and(|at| at.account == one.id) {
                sources.push((row, collection));
            }
        }
        let never = one.last_success.is_none();
        let importing = if never { sources.iter().filter(|(row, _)| row.mirror != "off").count() } else { 0 };
        accounts.push(Shown {
            importing,
            events: sources.iter().map(|(row, _)| row.count).sum(),
            sources: sources.into_iter().map(|(row, _)| row.copy()).collect(),
            ..account(one, &zone)
        });
    }
    let is_local = |collection: &Collection| matches!(collection.kind, CollectionKind::Local);
    let local = rows.iter().filter(|(_, one)| is_local(one)).map(|(row, _)| row.copy()).collect();
    let content = List { accounts, local, csrf: request.csrf() };
    Page { title: "Accounts", here: "/accounts", content: &content }.answer(request, StatusCode::OK)
}

fn account(one: crate::sync::AccountStatus, zone: &Zone) -> Shown {
    let state = one.state.as_str();
    Shown {
        id: one.id.to_string(),
        label: shown(&one.label),
        provider: provider_in_words(one.provider),
        state,
        word: state_in_words(state),
        reason: shown(&one.reason.unwrap_or_default()),
        last: time::maybe(one.last_success, zone),
        next: time::maybe(one.next_run, zone),
        queue: one.queue,
        paused: state == "paused",
        importing: 0,
        events: 0,
        sources: Vec::new(),
    }
}

/// A kind of provider as people write it.
pub(super) fn provider_in_words(name: &'static str) -> &'static str {
    match name {
        "caldav" => "CalDAV",
        "google" => "Google",
        "icloud" => "iCloud",
        "ics" => "Subscription",
        "microsoft" => "Microsoft",
        name => name,
    }
}

/// How an account fares, as people say it.
pub(super) fn state_in_words(state: &'static str) -> &'static str {
    match state {
        "needs_sign_in" => "needs a new sign-in",
        state => state,
    }
}

impl Row {
    fn copy(&self) -> Self {
        Self { name: self.name.clone(), title: self.title.clone(), class: self.class.clone(), ..*self }
    }
}

async fn rows(desk: &Desk, user: &UserId) -> Result<Vec<(Row, Collection)>, Trouble> {
    let later = Trouble::later;
    let default = desk.calendars.default_collection(user).await.map_err(later)?.id;
    let known = desk.accounts.sources(user).await?;
    let mut rows = Vec::new();
    for (index, one) in desk.calendars.collections(user).await.map_err(later)?.into_iter().enumerate() {
        if matches!(one.kind, CollectionKind::Unified) {
            continue;
        }
        let source = one.source().and_then(|at| known.iter().find(|source| source.id == at.source));
        let row = Row {
            name: one.id.name.to_string(),
            title: shown(&one.display_name),
            class: super::calendar::class(index),
            mirror: word(one.mirror),
            default: one.id == default,
            busy: one.privacy == Privacy::Busy,
            missing: source.is_some_and(|source| source.missing),
            count: desk.calendars.view(&one.id).await.map_err(later)?.len(),
        };
        rows.push((row, one));
    }
    Ok(rows)
}

fn word(mirror: Mirror) -> &'static str {
    match mirror {
        Mirror::TwoWay => "both ways",
        Mirror::ReadOnly => "read only",
        Mirror::Off => "off",
    }
}

async fn settings(desk: &Desk, request: &Request<'_>, name: &str) -> Answer {
    let user = request.user()?;
    let name: CollectionName = name.parse()?;
    let rows = rows(desk, user).await?;
    let (row, one) = rows.into_iter().find(|(_, one)| one.id.name == name).ok_or(Trouble::NotFound)?;
    let status = desk.sync.status(Some(user)).await?;
    let account = one.source().and_then(|at| status.accounts.iter().find(|account| account.id == at.account));
    let reason = account.and_then(|account| account.reason.clone()).unwrap_or_default();
    let title = format!("{:?}", one.display_name);
    let remarks: Vec<String> = reason.split("; ").filter(|line| line.contains(&title)).map(shown).collect();
    let content = Settings {
        held: remarks.iter().any(|line| line.contains("the deletions are held")),
        class: row.class,
        color: one.color.as_deref().and_then(|color| color.get(..7)).unwrap_or("#5b6b7b").to_owned(),
        mirrored: one.source().is_some(),
        mirror: row.mirror,
        busy: row.busy,
        default: row.default,
        address: format!("{}/dav/calendars/{user}/{name}/", desk.settings.public_url),
        title: row.title,
        remarks,
        csrf: request.csrf(),
    };
    Page { title: "Calendar", here: "/accounts", content: &content }.answer(request, StatusCode::OK)
}

async fn change(desk: &Desk, request: &Request<'_>, name: &str) -> Answer {
    let (user, form) = (request.user()?, request.form());
    let id = CollectionId::new(user, name.parse()?);
    let old = desk.calendars.collection(&id).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    let source = old.source().map(|at| at.source.clone());
    if let ("confirm", Some(source)) = (form.get("do"), &source) {
        let held = desk.sync.confirm_deletions(source).await?;
        let words =
            if held { "The deletions are confirmed and will be done." } else { "No deletions are held any more." };
        return done("/accounts", words);
    }
    let color = form.word("color");
    let is_color = color.len() == 7 && color.starts_with('#') && color.chars().skip(1).all(|c| c.is_ascii_hexdigit());
    if !is_color {
        return Err(Trouble::Refused(format!("Colour: {color} is no colour such as #3366CC.")));
    }
    let title = form.word("name");
    if title.is_empty() || title.len() > 200 || title.chars().any(char::is_control) {
        return Err(Trouble::Refused("Name: a calendar's name has 1 to 200 characters.".to_owned()));
    }
    let mirror = source.as_ref().and(match form.get("mirror") {
        "two-way" => Some(Mirror::TwoWay),
        "read-only" => Some(Mirror::ReadOnly),
        "off" => Some(Mirror::Off),
        _ => None,
    });
    let privacy = if form.get("privacy") == "busy" { Privacy::Busy } else { Privacy::Full };
    let new = CollectionChange {
        display_name: Some(title.to_owned()),
        color: Some(Some(color.to_owned())),
        mirror,
        privacy: Some(privacy),
        ..CollectionChange::default()
    };
    desk.calendars.update(&id, new).await?;
    if form.has("default") {
        desk.calendars.set_default_source(user, source.as_ref()).await?;
    }
    if let (Some(source), true) = (&source, old.mirror == Mirror::Off && mirror.is_some_and(|new| new != Mirror::Off)) {
        let source = desk.accounts.source(source).await?;
        desk.sync.mirror_again(&source).await?;
    }
    done("/accounts", &format!("{title} is saved."))
}

async fn confirm_removal(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let user = request.user()?;
    let account = own(desk, user, id).await?;
    let status = desk.sync.status(Some(user)).await?;
    let queue = status.accounts.iter().find(|one| one.id == account.id).map_or(0, |one| one.queue);
    let rows = rows(desk, user).await?;
    let of_it = rows.iter().filter(|(_, one)| one.source().is_some_and(|at| at.account == account.id));
    let events = of_it.map(|(row, _)| row.count).sum();
    let label = shown(&account.label);
    let content = Remove { id: account.id.to_string(), label, events, queue, csrf: request.csrf() };
    Page { title: "Remove an account", here: "/accounts", content: &content }.answer(request, StatusCode::OK)
}

async fn act(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let (user, form) = (request.user()?, request.form());
    let account = own(desk, user, id).await?;
    let label = &account.label;
    let words = match form.get("do") {
        "sync" => {
            desk.sync.sync_now(user, Some(&account.id), false).await?;
            format!("{label} is being looked at.")
        }
        "pause" => {
            desk.sync.pause(&account.id).await?;
            format!("{label} is paused. Changes made here wait until you resume it.")
        }
        "resume" => {
            desk.sync.resume(&account.id).await?;
            format!("{label} is worked for again.")
        }
        "remove" => {
            desk.sync.remove(&account.id).await?;
            format!("{label} is removed; its events stay at the provider.")
        }
        _ => return Err(Trouble::NotFound),
    };
    done("/accounts", &words)
}
