//! `/setup/{token}`: the first administrator chooses a name and a password.

use askama::Template;
use http::StatusCode;

use super::Pages;
use super::page::{Answer, Page};
use super::request::{Request, Trouble, is_from_here};
use super::session::{agent, remember};
use crate::id::UserId;
use crate::identity::{RedeemError, UserError, password};
use crate::vault::Secret;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<div class="narrow">
<h1>Set up LinearTime</h1>
<p>Make the first administrator. Afterwards this link is used up.</p>
{% if !problem.is_empty() %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
<form method="post">
<label for="user">User name</label>
<input id="user" name="user" value="{{ user }}" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="64">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required maxlength="256">
<label for="again">The same password again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required maxlength="256">
<button class="main">Make the administrator</button>
</form>
</div>
"#
)]
struct Form<'a> {
    problem: &'a str,
    user: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Done</h1>
<p>You are signed in as <strong>{{ user }}</strong>. Two things are left:</p>
<ol>
<li><a class="button main" href="/accounts">Connect your accounts</a>, so that their calendars show here;</li>
<li><a class="button" href="/devices">Set up your devices</a>, each with a password of its own.</li>
</ol>
"#
)]
struct Done<'a> {
    user: &'a str,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>This link does not work</h1>
<p>It was used before, or is older than a day. Restart the server for a new one, or use
<code>lineartime user add NAME --admin --password-stdin</code>.</p>
"#
)]
struct Expired;

impl Pages {
    /// The form, while the link holds.
    pub(super) async fn setup_form(&self, request: &Request<'_>, token: &str) -> Answer {
        match self.users.setup_link_holds(&Secret::new(token.as_bytes())).await {
            Ok(true) => page(request, StatusCode::OK, &Form { problem: "", user: "" }),
            Ok(false) => page(request, StatusCode::NOT_FOUND, &Expired),
            Err(error) => Err(Trouble::later(error)),
        }
    }

    /// What the form sent.
    pub(super) async fn setup(&self, request: &Request<'_>, token: &str) -> Answer {
        if !is_from_here(request.headers) {
            return Err(Trouble::Foreign);
        }
        let again = |status, problem: &str, user: &str| page(request, status, &Form { problem, user });
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let form = request.form();
        if ["user", "password", "again"].iter().any(|name| form.repeats(name)) {
            return again(StatusCode::BAD_REQUEST, "The form can't be read.", "");
        }
        let user = match UserId::parse(form.get("user")) {
            Ok(user) => user,
            Err(bad) => return again(unprocessable, &format!("This can't be a user name: {bad}."), form.get("user")),
        };
        let password = form.secret("password");
        if password != form.secret("again") {
            return again(unprocessable, "The two passwords differ.", user.as_str());
        }
        if let Some(weakness) = password::weakness(&password, user.as_str()) {
            return again(unprocessable, &format!("Please choose another password: {weakness}."), user.as_str());
        }
        match self.users.redeem(&Secret::new(token.as_bytes()), &user, &password).await {
            Ok(()) => {}
            Err(RedeemError::NotValid) => return page(request, StatusCode::NOT_FOUND, &Expired),
            Err(RedeemError::User(UserError::Store(error))) => return Err(Trouble::later(error)),
            Err(RedeemError::User(error)) => return again(unprocessable, &format!("{error}."), user.as_str()),
        }
        let mut done = page(request, StatusCode::OK, &Done { user: user.as_str() })?;
        let session = self.users.session_begin(&user, agent(request)).await?;
        remember(&mut done, &session, request.https);
        Ok(done)
    }
}

fn page(request: &Request<'_>, status: StatusCode, content: &impl Template) -> Answer {
    Page { title: "Set up LinearTime", here: "", content }.answer(request, status)
}
