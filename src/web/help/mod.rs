//! The handbook: what an administrator sets up, and what people type where.

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page};
use super::request::{Request, Trouble};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Help</h1>
<ul class="list">{% for (name, title, text) in topics %}<li><a href="/help/{{ name }}">{{ title }}</a></li>{% endfor %}</ul>
"#
)]
struct Index {
    topics: &'static [(&'static str, &'static str, &'static str)],
}

#[derive(Template)]
#[template(ext = "html", source = r#"<p><a href="/help">Help</a></p><article>{{ text|safe }}</article>"#)]
struct Topic {
    text: &'static str,
}

/// The list of topics.
pub(super) fn index(request: &Request<'_>) -> Answer {
    Page { title: "Help", here: "/help", content: &Index { topics: TOPICS } }.answer(request, StatusCode::OK)
}

/// One of them.
pub(super) fn topic(request: &Request<'_>, name: &str) -> Answer {
    let (_, title, text) = TOPICS.iter().find(|(known, ..)| *known == name).ok_or(Trouble::NotFound)?;
    Page { title, here: "/help", content: &Topic { text } }.answer(request, StatusCode::OK)
}

const TOPICS: &[(&str, &str, &str)] = &[
    ("google", "Google: register this server", include_str!("google.html")),
    ("microsoft", "Microsoft: register this server", include_str!("microsoft.html")),
    ("icloud", "iCloud: an app-specific password", include_str!("icloud.html")),
    ("proxy", "Behind Caddy, nginx or Traefik", include_str!("proxy.html")),
    ("clients", "Phones and programs", include_str!("clients.html")),
    ("backup", "Backup and restore", include_str!("backup.html")),
    ("upgrade", "Upgrade", include_str!("upgrade.html")),
    ("trouble", "When something does not work", include_str!("trouble.html")),
];
