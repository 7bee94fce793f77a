//! The pages: what this is, and the form that makes the first administrator.
//!
//! No script, nothing from elsewhere, one style sheet in the page under a nonce. The token in a set-up link is random,
//! works once and ends after a day, so a form that carries it can't be forged by another site.
//! Never here: calendars' contents, or a password in an answer.

mod form;
mod page;
mod setup;

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::entropy::Entropy;
use crate::identity::Users;

use page::{Front, Page};

/// Makes the pages.
#[derive(Debug)]
pub struct Pages {
    users: Arc<Users>,
    entropy: Arc<dyn Entropy>,
}

impl Pages {
    /// Pages about these users.
    pub fn new(users: Arc<Users>, entropy: Arc<dyn Entropy>) -> Self {
        Self { users, entropy }
    }

    /// `/`: what this is and how to use it.
    pub async fn front(&self) -> Response<Bytes> {
        // A store that fails must not take the page along that says how to reach the server.
        let needs_setup = self.users.is_empty().await.unwrap_or(false);
        self.page(StatusCode::OK, "LinearTime", &Front { needs_setup })
    }

    fn page(&self, status: StatusCode, title: &'static str, content: &impl askama::Template) -> Response<Bytes> {
        Page::answer(status, title, content, &*self.entropy)
    }
}
