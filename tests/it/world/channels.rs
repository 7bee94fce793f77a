//! The channels of a service: whom it tells of changes, by which word, until when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lineartime::provider::{Channel, Hook};

/// An open channel.
#[derive(Clone, Debug)]
pub struct Open {
    pub channel: Channel,
    /// What its messages say to be believed.
    pub token: String,
    /// Where they are sent.
    pub url: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Channels {
    open: BTreeMap<String, Open>,
    made: u64,
}

impl Channels {
    /// A new one, under the id that was chosen for it or one of the service's own.
    pub fn make(&mut self, hook: &Hook, is_named_here: bool) -> Channel {
        self.made += 1;
        let id = if is_named_here { format!("subscription-{}", self.made) } else { hook.id.clone() };
        let channel = Channel { id: id.clone(), resource: String::new(), expires: hook.until };
        let token = hook.token.expose_str().unwrap().to_owned();
        self.open.insert(id, Open { channel: channel.clone(), token, url: hook.url.clone() });
        channel
    }

    /// Makes one longer that has not ended.
    pub fn prolong(&mut self, id: &str, hook: &Hook, now: Timestamp) -> Option<Channel> {
        let open = self.open.get_mut(id).filter(|open| open.channel.expires > now)?;
        open.channel.expires = hook.until;
        Some(open.channel.clone())
    }

    pub fn end(&mut self, id: &str) {
        self.open.remove(id);
    }

    pub fn all(&self, now: Timestamp) -> Vec<Open> {
        self.open.values().filter(|open| open.channel.expires > now).cloned().collect()
    }
}
