//! The files that pages use. They are part of the program, so they always fit it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Response, StatusCode};

use super::page::with_type;

/// The file of this name.
pub(super) fn file(name: &str) -> Option<Response<Bytes>> {
    let (kind, content) = match name {
        "style.css" => ("text/css; charset=utf-8", include_str!("assets/style.css")),
        "app.js" => ("text/javascript; charset=utf-8", include_str!("assets/app.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return None,
    };
    let mut response = with_type(StatusCode::OK, kind, content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Some(response)
}
