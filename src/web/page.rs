//! What all pages share: the frame, the header fields that keep them safe, redirects and messages.
//!
//! Nothing on a page is inline: style and script are files of our own, so the policy can forbid all else.

use askama::Template;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SET_COOKIE,
};
use http::{Response, StatusCode};

use super::request::{Request, Trouble};

/// What every handler gives back.
pub(super) type Answer = Result<Response<Bytes>, Trouble>;

/// The frame around a page's content.
#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }} · LinearTime</title>
<link rel="stylesheet" href="/assets/style.css">
{% if user.is_some() %}<link rel="stylesheet" href="/calendar/colors.css">{% endif %}
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/app.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="24" height="24"> LinearTime</a>
{% if let Some(user) = user %}
<nav aria-label="Main">
<ul>
{% for (href, name) in links %}<li><a href="{{ href }}"{% if href == here %} aria-current="page"{% endif %}>{{ name }}</a></li>
{% endfor %}{% if admin %}<li><a href="/admin"{% if *here == "/admin" %} aria-current="page"{% endif %}>Admin</a></li>{% endif %}
</ul>
</nav>
<form method="post" action="/sign-out" class="who"><input type="hidden" name="csrf" value="{{ csrf }}">
<a href="/me"{% if *here == "/me" %} aria-current="page"{% endif %}>{{ user }}</a> <button class="quiet">Sign out</button></form>
{% endif %}
</header>
<main id="main"{% if wide %} class="wide"{% endif %}>
{% if let Some((kind, words)) = flash %}<p class="flash {{ kind }}" role="status">{{ words }}</p>{% endif %}
{{ content|safe }}
</main>
<footer><a href="/help">Help</a></footer>
</body>
</html>
"##
)]
struct Frame<'a> {
    title: &'a str,
    here: &'a &'static str,
    links: &'static [(&'static str, &'static str)],
    user: Option<&'a str>,
    admin: bool,
    csrf: &'a str,
    flash: Option<(&'a str, &'a str)>,
    wide: bool,
    content: &'a str,
}

/// The ways through the house.
const LINKS: &[(&str, &str)] = &[
    ("/calendar", "Calendar"),
    ("/accounts", "Accounts"),
    ("/devices", "Devices"),
    ("/sharing", "Feeds"),
    ("/find-a-time", "Find a time"),
    ("/conflicts", "Conflicts"),
    ("/history", "History"),
    ("/queue", "Queue"),
    ("/audit", "Audit"),
];

/// A page: its title, the link that leads to it, and what it shows.
pub(super) struct Page<'a, T> {
    pub(super) title: &'a str,
    pub(super) here: &'static str,
    pub(super) content: &'a T,
}

impl<T: Template> Page<'_, T> {
    /// The whole page. `content` escapes its own values.
    pub(super) fn answer(&self, request: &Request<'_>, status: StatusCode) -> Answer {
        let content = self.content.render().map_err(Trouble::render)?;
        let flash = request.flash();
        let flash = flash.as_ref().and_then(|text| text.split_once(':'));
        let who = request.who.as_ref();
        let frame = Frame {
            title: self.title,
            here: &self.here,
            links: LINKS,
            user: who.map(|who| who.user.as_str()),
            admin: who.is_some_and(|who| who.admin),
            csrf: &request.csrf(),
            flash,
            wide: self.here == "/calendar" || self.here == "/find-a-time",
            content: &content,
        };
        let html = frame.render().map_err(Trouble::render)?;
        let mut response = with_type(status, "text/html; charset=utf-8", html);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if flash.is_some() {
            headers.append(SET_COOKIE, HeaderValue::from_static("lt_flash=; Path=/; Max-Age=0"));
        }
        Ok(response)
    }
}

/// Any content with the header fields that pages have.
pub(super) fn with_type(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    for (name, value) in SAFE {
        headers.insert(name, value);
    }
    response
}

/// To another page, as a GET, with a message that is shown there once. `kind` is `good` or `bad`.
pub(super) fn go(to: &str, kind: &str, words: &str) -> Answer {
    let mut response = with_type(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    let place = HeaderValue::from_str(to).map_err(|_| Trouble::NotFound)?;
    response.headers_mut().insert(LOCATION, place);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !words.is_empty() {
        let words: String = words.chars().filter(|c| !c.is_control()).take(600).collect();
        let text = percent_encoding::utf8_percent_encode(&words, percent_encoding::NON_ALPHANUMERIC);
        let cookie = format!("lt_flash={kind}:{text}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// Done, in these words.
pub(super) fn done(to: &str, words: &str) -> Answer {
    go(to, "good", words)
}

/// Text of strangers as a page may show it: without characters that steer terminals or turn the direction of what follows.
pub(super) fn shown(text: &str) -> String {
    let unfit =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !unfit(*c)).collect()
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const SAFE: [(HeaderName, HeaderValue); 3] = [
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("same-origin")),
];
