//! What all pages share: the frame, the style, the header fields that keep them safe.

use askama::Template;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::entropy::{self, Entropy};

/// The front page.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>LinearTime</h1>
<p>One calendar in front of all your accounts. Point your calendar program at this server:</p>
<p><code>/dav/</code></p>
<p>Most programs find everything else from the server's name, your user name and an app password.</p>
{% if needs_setup %}<p class="note">Nobody can sign in yet. The server printed a set-up link when it started;
<code>lineartime user add NAME --admin --password-stdin</code> does the same without a browser.</p>{% endif %}
"#
)]
pub(super) struct Front {
    pub(super) needs_setup: bool,
}

/// The frame around a page's content.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style nonce="{{ nonce }}">
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }
label { display: block; margin-top: 1rem; font-weight: 600; }
input { width: 100%; box-sizing: border-box; font: inherit; padding: .6rem; }
button { margin-top: 1.5rem; width: 100%; font: inherit; padding: .7rem; }
.problem { border-left: .3rem solid #c00; padding: .5rem .8rem; }
.note { border-left: .3rem solid #07c; padding: .5rem .8rem; }
</style>
<main>
{{ content|safe }}
</main>
</html>
"#
)]
pub(super) struct Page<'a> {
    title: &'a str,
    nonce: &'a str,
    content: &'a str,
}

impl Page<'_> {
    /// The whole answer. `content` escapes its own values.
    pub(super) fn answer(
        status: StatusCode,
        title: &str,
        content: &impl Template,
        entropy: &dyn Entropy,
    ) -> Response<Bytes> {
        let nonce = entropy::token(entropy, 16);
        let rendered = content.render().and_then(|content| Page { title, nonce: &nonce, content: &content }.render());
        let (status, html) = match rendered {
            Ok(html) => (status, html),
            Err(error) => {
                tracing::error!(%error, "a page can't be rendered");
                (StatusCode::INTERNAL_SERVER_ERROR, String::new())
            }
        };
        let mut response = Response::new(Bytes::from(html));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}
