//! `/setup/{token}`: the first administrator chooses a name and a password.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::Pages;
use super::form::SetupForm;
use crate::id::UserId;
use crate::identity::{RedeemError, UserError, password};
use crate::vault::Secret;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
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
<button>Make the administrator</button>
</form>
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
<p>You can sign in as <strong>{{ user }}</strong> now. Give your calendar program this server's address and that name;
a separate app password for each device is safer: <code>lineartime app-password add {{ user }} --label phone</code>.</p>
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
    pub async fn setup_form(&self, token: &str) -> Response<Bytes> {
        match self.users.setup_link_holds(&Secret::new(token.as_bytes())).await {
            Ok(true) => self.page(StatusCode::OK, TITLE, &Form { problem: "", user: "" }),
            Ok(false) => self.page(StatusCode::NOT_FOUND, TITLE, &Expired),
            Err(error) => {
                tracing::error!(%error, "the set-up link can't be checked");
                self.page(StatusCode::SERVICE_UNAVAILABLE, TITLE, &Form { problem: LATER, user: "" })
            }
        }
    }

    /// What the form sent.
    pub async fn setup(&self, token: &str, body: &[u8]) -> Response<Bytes> {
        let again = |status, problem: &str, user: &str| self.page(status, TITLE, &Form { problem, user });
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let Some(form) = SetupForm::parse(body) else {
            return again(StatusCode::BAD_REQUEST, "The form can't be read.", "");
        };
        let user = match UserId::parse(&form.user) {
            Ok(user) => user,
            Err(bad) => return again(unprocessable, &format!("This can't be a user name: {bad}."), &form.user),
        };
        if form.password.expose() != form.again.expose() {
            return again(unprocessable, "The two passwords differ.", user.as_str());
        }
        if let Some(weakness) = password::weakness(&form.password, user.as_str()) {
            return again(unprocessable, &format!("Please choose another password: {weakness}."), user.as_str());
        }
        match self.users.redeem(&Secret::new(token.as_bytes()), &user, &form.password).await {
            Ok(()) => self.page(StatusCode::OK, TITLE, &Done { user: user.as_str() }),
            Err(RedeemError::NotValid) => self.page(StatusCode::NOT_FOUND, TITLE, &Expired),
            Err(RedeemError::User(UserError::Store(error))) => {
                tracing::error!(%error, "the administrator can't be stored");
                again(StatusCode::SERVICE_UNAVAILABLE, LATER, user.as_str())
            }
            Err(RedeemError::User(error)) => again(unprocessable, &format!("{error}."), user.as_str()),
        }
    }
}

const TITLE: &str = "Set up LinearTime";
const LATER: &str = "The store is not available; please try again in a moment.";
