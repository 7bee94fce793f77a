//! The front page for those who are not signed in, and the page about trouble.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::Pages;
use super::page::{Answer, Page, shown, with_type};
use super::request::Request;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<div class="narrow">
<h1>LinearTime</h1>
<p class="lead">One calendar in front of all your accounts.</p>
{% if needs_setup %}<p class="note">Nobody can sign in yet. The server printed a set-up link when it started;
<code>lineartime user add NAME --admin --password-stdin</code> does the same without a browser.</p>
{% else %}<p><a class="button main" href="/sign-in">Sign in</a></p>{% endif %}
<h2>For calendar programs</h2>
<p>Point your calendar program at this server; its CalDAV address is <code>/dav/</code>. Most programs find everything
else from the server's name, your user name and an app password.</p>
</div>
"#
)]
struct Front {
    needs_setup: bool,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<div class="narrow"><h1>{{ title }}</h1><p class="problem" role="alert">{{ words }}</p>
<p><a href="/">To the front page</a></p></div>"#
)]
struct Told<'a> {
    title: &'a str,
    words: &'a str,
}

impl Pages {
    /// What this is and how to use it.
    pub(super) async fn front(&self, request: &Request<'_>) -> Answer {
        // A store that fails must not take the page along that says how to reach the server.
        let needs_setup = self.users.is_empty().await.unwrap_or(false);
        Page { title: "One calendar", here: "", content: &Front { needs_setup } }.answer(request, StatusCode::OK)
    }
}

/// What went wrong, and what to do.
pub(super) fn trouble(request: &Request<'_>, status: StatusCode, title: &str, words: &str) -> Response<Bytes> {
    let words = shown(words);
    let page = Page { title, here: "", content: &Told { title, words: &words } }.answer(request, status);
    page.unwrap_or_else(|_| with_type(status, "text/plain; charset=utf-8", words))
}
