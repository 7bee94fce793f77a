//! For administrators: people, limits, the configuration, how all accounts fare.

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, Pages, accounts, time};
use crate::id::UserId;
use crate::identity::{UserError, password};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Administration</h1>
{% if !problem.is_empty() %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
<section><h2>People</h2>
<ul class="list">{% for one in people %}<li><div><strong>{{ one.name }}</strong>{% if one.admin %} <span class="tag">administrator</span>{% endif %}<br><span class="hint">since {{ one.created }}</span></div>
{% if !one.own %}<details><summary>Change</summary>
<form method="post" action="/admin/password" class="row"><input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="user" value="{{ one.name }}">
<div><label for="p-{{ one.name }}">New password for {{ one.name }}</label><input id="p-{{ one.name }}" name="password" type="password" autocomplete="new-password" required maxlength="256"></div><button>Set it</button></form>
<form method="post" action="/admin/remove" class="row"><input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="user" value="{{ one.name }}">
<label class="tick"><input type="checkbox" name="sure" value="1" required> Remove {{ one.name }} with all calendars, accounts and devices here</label><button class="danger">Remove</button></form></details>{% endif %}</li>
{% endfor %}</ul>
<form method="post" action="/admin/add" class="card"><input type="hidden" name="csrf" value="{{ csrf }}">
<h3>Add a person</h3>
<div class="row"><div><label for="user">User name</label><input id="user" name="user" value="{{ typed }}" required maxlength="64" autocapitalize="none" spellcheck="false" autocomplete="off"></div>
<div><label for="password">First password</label><input id="password" name="password" type="password" required maxlength="256" autocomplete="new-password"></div>
<label class="tick"><input type="checkbox" name="admin" value="1"> Administrator</label>
<button class="main">Add</button></div></form></section>
<section><h2>All accounts</h2>
{% if accounts.is_empty() %}<p>No account is connected.</p>{% else %}<div class="scroll"><table class="stack"><thead><tr><th scope="col">Person</th><th scope="col">Provider</th><th scope="col">State</th><th scope="col">Last success</th><th scope="col">Waiting</th><th scope="col">Failing</th></tr></thead>
<tbody>{% for one in accounts %}<tr><td data-label="Person">{{ one.user }}</td><td data-label="Provider">{{ one.provider }}</td><td data-label="State"><span class="tag {{ one.state }}">{{ one.word }}</span></td><td class="when" data-label="Last success">{{ one.last }}</td><td data-label="Waiting">{{ one.queue }}</td><td data-label="Failing">{{ one.errors }} %</td></tr>{% endfor %}</tbody></table></div>{% endif %}
<p class="hint">What is in a person's calendars, and what providers say about them, only that person sees.</p></section>
<section><h2>Configuration</h2>
<ul class="list">{% for (state, finding, advice) in notes %}<li><div><span class="tag {% if state == "ok" %}good{% else %}bad{% endif %}">{{ state }}</span> {{ finding }}{% if !advice.is_empty() %}<br><span class="hint">{{ advice }}</span>{% endif %}</div></li>{% endfor %}</ul></section>
<section><h2>Limits</h2>
<div class="scroll"><table><thead><tr><th scope="col">Key in the configuration file</th><th scope="col">Value</th></tr></thead><tbody>{% for (key, value) in limits %}<tr><td><code>{{ key }}</code></td><td>{{ value }}</td></tr>{% endfor %}</tbody></table></div></section>
"#
)]
struct Admin<'a> {
    problem: &'a str,
    typed: String,
    people: Vec<Person>,
    accounts: Vec<Row>,
    notes: Vec<(String, String, String)>,
    limits: &'a [(&'static str, String)],
    csrf: String,
}

struct Person {
    name: String,
    admin: bool,
    created: String,
    own: bool,
}

struct Row {
    user: String,
    provider: &'static str,
    state: &'static str,
    word: &'static str,
    last: String,
    queue: usize,
    errors: u32,
}

fn only_admins(request: &Request<'_>) -> Result<(), Trouble> {
    if request.who.as_ref().is_some_and(|who| who.admin) { Ok(()) } else { Err(Trouble::Forbidden) }
}

impl Pages {
    /// The page.
    pub(super) async fn admin(&self, desk: &Desk, request: &Request<'_>, problem: &str) -> Answer {
        only_admins(request)?;
        let (own, zone) = (request.user()?, time::zone(request));
        let users = self.users.list().await?;
        let mut rows = Vec::new();
        for user in &users {
            for one in desk.sync.status(Some(&user.id)).await?.accounts {
                rows.push(Row {
                    user: user.id.to_string(),
                    provider: accounts::provider_in_words(one.provider),
                    state: one.state.as_str(),
                    word: accounts::state_in_words(one.state.as_str()),
                    last: time::maybe(one.last_success, &zone),
                    queue: one.queue,
                    errors: percent(one.error_rate),
                });
            }
        }
        let person = |user: crate::identity::User| Person {
            own: user.id == *own,
            name: user.id.to_string(),
            admin: user.admin,
            created: time::moment(user.created, &zone),
        };
        let content = Admin {
            problem,
            typed: if problem.is_empty() { String::new() } else { shown(request.form().get("user")) },
            people: users.into_iter().map(person).collect(),
            accounts: rows,
            notes: desk.house.notes(),
            limits: &desk.settings.limits,
            csrf: request.csrf(),
        };
        let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Page { title: "Administration", here: "/admin", content: &content }.answer(request, status)
    }

    /// What its forms send.
    pub(super) async fn post_admin(&self, desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
        only_admins(request)?;
        let form = request.form();
        let user = match UserId::parse(form.get("user")) {
            Ok(user) => user,
            Err(bad) => return self.admin(desk, request, &format!("User name: {bad}.")).await,
        };
        match path {
            ["add"] => {
                let password = form.secret("password");
                if let Some(weakness) = password::weakness(&password, user.as_str()) {
                    return self.admin(desk, request, &format!("First password: {weakness}.")).await;
                }
                match self.users.add(&user, &password, form.has("admin")).await {
                    Ok(()) => done("/admin", &format!("{user} can sign in now.")),
                    Err(error @ UserError::Store(_)) => Err(error.into()),
                    Err(error) => self.admin(desk, request, &format!("User name: {error}.")).await,
                }
            }
            ["password"] => {
                let password = form.secret("password");
                if let Some(weakness) = password::weakness(&password, user.as_str()) {
                    return self.admin(desk, request, &format!("New password: {weakness}.")).await;
                }
                self.users.passwd(&user, &password).await?;
                done("/admin", &format!("{user} has a new password; their browsers are signed out."))
            }
            ["remove"] if form.has("sure") && user != *request.user()? => {
                desk.house.remove_user(&user).await.map_err(Trouble::Refused)?;
                done("/admin", &format!("{user} is removed."))
            }
            ["remove"] => {
                self.admin(desk, request, "Tick the box to say that you are sure; you can't remove yourself.").await
            }
            _ => Err(Trouble::NotFound),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 100")]
fn percent(part: f64) -> u32 {
    (part * 100.0).round().clamp(0.0, 100.0) as u32
}
