//! Do links and events agree? For tests, and for `doctor`. Reads everything, writes nothing.

use std::collections::BTreeSet;

use super::record::{LINKS, LINKS_OF};
use crate::id::{EventId, SourceId};
use crate::store::{Store, StoreError};

/// What does not agree in a source, one line each, without names or contents. `events` are all that its user has.
pub async fn consistent(
    store: &dyn Store,
    source: &SourceId,
    events: &BTreeSet<EventId>,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    for (_, link) in LINKS.scan(store, LINKS.range(source), usize::MAX).await? {
        if !events.contains(&link.event) {
            wrong.push(format!("a link of {source} leads to event {}, which does not exist", link.event));
        }
    }
    for ((_, event), of) in LINKS_OF.scan(store, LINKS_OF.range(source), usize::MAX).await? {
        let there = LINKS.get(store, &(source.clone(), of.remote.as_str().to_owned())).await?;
        if there.is_none_or(|link| link.event != event) {
            wrong.push(format!("event {event} has no link of its own in {source}, and a note that it has one"));
        }
    }
    Ok(wrong)
}
