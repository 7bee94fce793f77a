//! The message itself: which collection, and what kind of change (draft, "Push Message").

use bytes::Bytes;

use super::subscription::News;
use crate::dav::name::dav;
use crate::dav::name::ns::PUSH;
use crate::dav::{QName, Writer};

/// The document that is encrypted for the client.
pub(super) fn document(topic: &str, news: &News) -> Bytes {
    let mut writer = Writer::document(&MESSAGE);
    writer.text_element(&TOPIC, topic);
    if let Some(token) = &news.token {
        writer.start(&CONTENT_UPDATE).text_element(&dav::SYNC_TOKEN, token).end(&CONTENT_UPDATE);
    }
    if news.traits {
        writer.empty(&PROPERTY_UPDATE);
    }
    writer.end(&MESSAGE);
    writer.finish()
}

const MESSAGE: QName = QName::fixed(PUSH, "push-message");
const TOPIC: QName = QName::fixed(PUSH, "topic");
const CONTENT_UPDATE: QName = QName::fixed(PUSH, "content-update");
const PROPERTY_UPDATE: QName = QName::fixed(PUSH, "property-update");
