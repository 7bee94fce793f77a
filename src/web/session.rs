//! Signing in and out, and what a person sees of themselves: password, sessions, time zone.

use askama::Template;
use bytes::Bytes;
use http::header::{HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};

use super::page::{Answer, Page, done, go};
use super::request::{COOKIE, HOST_COOKIE, Request, Trouble, is_from_here, session_cookie, session_token};
use super::{Pages, time};
use crate::identity::oidc::Oidc;
use crate::identity::{AuthError, LONGEST_SESSION, SessionId, Via, password};
use crate::vault::Secret;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<div class="narrow">
<h1>Sign in</h1>
{% if !problem.is_empty() %}<p class="problem" role="alert" id="problem">{{ problem }}</p>{% endif %}
<form method="post" action="/sign-in">
<input type="hidden" name="to" value="{{ to }}">
<label for="user">User name</label>
<input id="user" name="user" value="{{ user }}" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="64"{% if !problem.is_empty() %} aria-describedby="problem"{% endif %}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256"{% if !problem.is_empty() %} aria-describedby="problem"{% endif %}>
<button class="main">Sign in</button>
</form>
{% if let Some((name, link)) = oidc %}<p><a class="button" href="{{ link }}">Sign in with {{ name }}</a></p>{% endif %}
</div>
"#
)]
struct SignIn<'a> {
    problem: &'a str,
    user: &'a str,
    to: &'a str,
    /// The company's service and the way there.
    oidc: Option<(&'a str, String)>,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>{{ user }}</h1>
<section aria-labelledby="password-title">
<h2 id="password-title">Password</h2>
{% if !problem.is_empty() %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
<form method="post" action="/me/password" class="card">
<input type="hidden" name="csrf" value="{{ csrf }}">
<label for="old">Present password</label>
<input id="old" name="old" type="password" autocomplete="current-password" required maxlength="256">
<label for="new">New password</label>
<input id="new" name="new" type="password" autocomplete="new-password" required maxlength="256">
<label for="again">The new password again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required maxlength="256">
<p class="hint">All other browsers are signed out. App passwords of devices stay.</p>
<button>Change the password</button>
</form>
</section>
{% if let Some(name) = oidc %}<section aria-labelledby="oidc-title">
<h2 id="oidc-title">Sign in with {{ name }}</h2>
<form method="post" action="/me/oidc" class="card">
<input type="hidden" name="csrf" value="{{ csrf }}">
<p class="hint">Connect your account there, and you can sign in here without this password. Calendar programs go on using app passwords.</p>
<button>Connect</button>
</form>
</section>{% endif %}
<section aria-labelledby="zone-title">
<h2 id="zone-title">Time zone</h2>
<form method="post" action="/me/zone" class="card row">
<input type="hidden" name="csrf" value="{{ csrf }}">
<div><label for="zone">Times on these pages are in</label>
<input id="zone" name="zone" value="{{ zone }}" maxlength="64" spellcheck="false" autocapitalize="none"></div>
<button>Save</button>
</form>
<p class="hint">A name such as Europe/Vienna. Your browser's own zone is used until you choose another.</p>
</section>
<section aria-labelledby="sessions-title">
<h2 id="sessions-title">Signed-in browsers</h2>
<ul class="list">
{% for one in sessions %}<li><div><strong>{{ one.agent }}</strong>{% if one.here %} <span class="tag">this one</span>{% endif %}<br>
<span class="hint">since {{ one.created }}, last used {{ one.used }}</span></div>
{% if !one.here %}<form method="post" action="/me/sessions"><input type="hidden" name="csrf" value="{{ csrf }}"><button name="end" value="{{ one.id }}">Sign out</button></form>{% endif %}</li>
{% endfor %}</ul>
<form method="post" action="/me/sessions"><input type="hidden" name="csrf" value="{{ csrf }}"><button name="others" value="1">Sign out everywhere else</button></form>
</section>
"#
)]
struct Me<'a> {
    user: &'a str,
    problem: &'a str,
    oidc: Option<&'a str>,
    zone: String,
    sessions: Vec<Browser>,
    csrf: String,
}

struct Browser {
    id: String,
    agent: String,
    created: String,
    used: String,
    here: bool,
}

impl Pages {
    /// The form.
    pub(super) fn sign_in_form(&self, request: &Request<'_>) -> Answer {
        let ask = request.ask();
        let to = inside(ask.get("to"));
        let content = SignIn { problem: "", user: "", to, oidc: self.oidc_link(to) };
        Page { title: "Sign in", here: "", content: &content }.answer(request, StatusCode::OK)
    }

    /// Checks name and password, counted as those of any other client are, and begins a session.
    pub(super) async fn sign_in(&self, request: &Request<'_>) -> Answer {
        if !is_from_here(request.headers) {
            return Err(Trouble::Foreign);
        }
        let form = request.form();
        let (user, to) = (form.get("user"), inside(form.get("to")));
        let again = |status, problem: &str| {
            let content = SignIn { problem, user, to, oidc: self.oidc_link(to) };
            Page { title: "Sign in", here: "", content: &content }.answer(request, status)
        };
        let known = self.users.authenticate(user, &form.secret("password"), request.address).await;
        let who = match known {
            // An app password is a device's: it must not open the pages, where other passwords are made.
            Ok(who) if who.via == Via::Password => who,
            Ok(_) => {
                return again(
                    StatusCode::FORBIDDEN,
                    "This is the password of a device. Sign in with your own password.",
                );
            }
            Err(AuthError::Wrong) => {
                return again(StatusCode::UNPROCESSABLE_ENTITY, "User name or password is wrong.");
            }
            Err(error @ AuthError::Throttled { .. }) => {
                return again(StatusCode::TOO_MANY_REQUESTS, &format!("Please wait: {error}."));
            }
            Err(AuthError::Busy) => return Err(Trouble::Later("too many people sign in at once".to_owned())),
            Err(AuthError::Store(error)) => return Err(Trouble::later(error)),
        };
        let token = self.users.session_begin(&who.user, agent(request)).await?;
        let to = if to.is_empty() { "/" } else { to };
        let mut response = go(to, "", "")?;
        remember(&mut response, &token, request.https);
        Ok(response)
    }

    /// Ends this session.
    pub(super) async fn sign_out(&self, request: &Request<'_>) -> Answer {
        let user = request.user()?;
        if let Some(Via::Session(own)) = request.who.as_ref().map(|who| &who.via) {
            self.users.end_sessions(user, |id| id == own).await?;
        }
        let mut response = done("/sign-in", "You are signed out.")?;
        forget(&mut response, request.https);
        Ok(response)
    }

    /// What a person sees of themselves.
    pub(super) async fn me(&self, request: &Request<'_>, problem: &str) -> Answer {
        let user = request.user()?;
        let zone = time::zone(request);
        let own = request.who.as_ref().map(|who| who.via.clone());
        let browser = |one: crate::identity::Session| Browser {
            here: own == Some(Via::Session(one.id.clone())),
            id: one.id.0,
            agent: if one.agent.is_empty() { "A browser".to_owned() } else { one.agent },
            created: time::moment(one.created, &zone),
            used: time::moment(one.last_used, &zone),
        };
        let sessions = self.users.sessions(user).await?.into_iter().map(browser).collect();
        let zone = zone.name().unwrap_or("UTC").to_owned();
        let oidc = self.oidc.as_ref().map(Oidc::name);
        let content = Me { user: user.as_str(), problem, oidc, zone, sessions, csrf: request.csrf() };
        let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Page { title: "You", here: "/me", content: &content }.answer(request, status)
    }

    pub(super) async fn change_password(&self, request: &Request<'_>) -> Answer {
        let (user, form) = (request.user()?.clone(), request.form());
        let known = self.users.authenticate(user.as_str(), &form.secret("old"), request.address).await;
        match known {
            Ok(who) if who.via == Via::Password => {}
            Err(error @ AuthError::Throttled { .. }) => {
                return self.me(request, &format!("Please wait: {error}.")).await;
            }
            Err(AuthError::Store(error)) => return Err(Trouble::later(error)),
            _ => return self.me(request, "The present password is wrong.").await,
        }
        let new = form.secret("new");
        if new != form.secret("again") {
            return self.me(request, "The two new passwords differ.").await;
        }
        if let Some(weakness) = password::weakness(&new, user.as_str()) {
            return self.me(request, &format!("Please choose another new password: {weakness}.")).await;
        }
        self.users.passwd(&user, &new).await?;
        let token = self.users.session_begin(&user, agent(request)).await?;
        let mut response = done("/me", "The password is changed; all other browsers are signed out.")?;
        remember(&mut response, &token, request.https);
        Ok(response)
    }

    pub(super) async fn end_sessions(&self, request: &Request<'_>) -> Answer {
        let (user, form) = (request.user()?, request.form());
        let ended = if form.has("others") {
            let own = request.who.as_ref().map(|who| who.via.clone());
            self.users.end_sessions(user, |id| own != Some(Via::Session(id.clone()))).await?
        } else {
            let wanted = SessionId(form.get("end").to_owned());
            self.users.end_sessions(user, |id| *id == wanted).await?
        };
        match ended {
            1 => done("/me", "One browser is signed out."),
            ended => done("/me", &format!("{ended} browsers are signed out.")),
        }
    }

    pub(super) async fn choose_zone(&self, request: &Request<'_>) -> Answer {
        let form = request.form();
        let name = form.word("zone");
        if crate::ical::Zone::iana(name).is_none() {
            return self.me(request, &format!("Time zone: {name} is no known zone.")).await;
        }
        let text = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let mut response = done("/me", "The time zone is set for this browser.")?;
        let cookie = format!("lt_zone={text}; Path=/; Max-Age=31536000; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(response)
    }
}

/// Gives the browser its session.
pub(super) fn remember(response: &mut Response<Bytes>, token: &Secret, https: bool) {
    let secure = if https { "; Secure" } else { "" };
    let (name, token) = (session_cookie(https), token.expose_str().unwrap_or_default());
    let age = LONGEST_SESSION.as_secs();
    let cookie = format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Takes the session from the browser, also under the name of earlier versions.
fn forget(response: &mut Response<Bytes>, https: bool) {
    for (name, secure) in [(COOKIE, ""), (HOST_COOKIE, "; Secure")] {
        let ended = format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}");
        // A browser refuses the second over plain HTTP, where there is none to end.
        if let Ok(ended) = HeaderValue::from_str(&ended)
            && (https || secure.is_empty())
        {
            response.headers_mut().append(SET_COOKIE, ended);
        }
    }
}

/// The browser, in its own words.
pub(super) fn agent<'a>(request: &'a Request<'_>) -> &'a str {
    request.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A path of ours, or nothing: nobody is sent elsewhere by a link to this page.
pub(super) fn inside(to: &str) -> &str {
    let fine = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') && !to.chars().any(char::is_control);
    if fine { to } else { "" }
}

/// Whether the request brings a session's token at all: then it is one that has ended.
pub(super) fn had_session(request: &Request<'_>) -> bool {
    session_token(request.headers, request.https).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(response: &Response<Bytes>) -> Vec<&str> {
        response.headers().get_all(SET_COOKIE).iter().map(|field| field.to_str().unwrap()).collect()
    }

    #[test]
    fn over_https_the_cookie_is_this_hosts_alone_and_both_names_end() {
        let mut response = Response::new(Bytes::new());
        remember(&mut response, &Secret::new("t"), true);
        let [cookie] = cookies(&response)[..] else { panic!() };
        assert!(cookie.starts_with("__Host-lt_session=t; Path=/; ") && cookie.ends_with("; Secure"), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
        let mut response = Response::new(Bytes::new());
        remember(&mut response, &Secret::new("t"), false);
        assert!(cookies(&response)[0].starts_with("lt_session=t; Path=/; "));
        let mut response = Response::new(Bytes::new());
        forget(&mut response, true);
        let [old, new] = cookies(&response)[..] else { panic!() };
        assert!(old.starts_with("lt_session=; Path=/; Max-Age=0"), "{old}");
        assert!(new.starts_with("__Host-lt_session=; Path=/; Max-Age=0") && new.ends_with("; Secure"), "{new}");
        let mut response = Response::new(Bytes::new());
        forget(&mut response, false);
        assert_eq!(cookies(&response).len(), 1);
    }
}
