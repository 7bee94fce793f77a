//! The occurrences and busy times of a person's calendars.

use std::collections::HashMap;
use std::sync::Arc;

use super::occurrence::{Clockwork, Label, Occurrence, occurrences};
use crate::calendar::{Calendars, Collection, CollectionKind, Entry, QueryError};
use crate::ical::{Budget, Busy, ComponentKind, TimeRange, busy, merge_busy};
use crate::id::{CollectionName, UserId};
use crate::store::StoreError;

/// What is asked of the agenda.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The stretch of time.
    pub range: TimeRange,
    /// In which zone.
    pub clock: Clockwork,
    /// These calendars alone; none means all.
    pub sources: Vec<CollectionName>,
}

/// The occurrences asked for, in order of time.
pub async fn agenda(calendars: &Calendars, user: &UserId, asked: &Asked) -> Result<Vec<Occurrence>, QueryError> {
    let rows = calendars.collections(user).await?;
    let traits: HashMap<&CollectionName, &Collection> = rows.iter().map(|row| (&row.id.name, row)).collect();
    let (mut found, mut budget) = (Vec::new(), Budget::request());
    for row in chosen(&rows, &asked.sources) {
        for entry in candidates(calendars, row, &asked.range).await? {
            let object = calendars.object(&row.id, &entry).await?;
            let home = if row.id.name.is_unified() { entry.leader() } else { &row.id.name };
            let label = Label {
                event: entry.event.to_string(),
                source: Some(home.to_string()),
                color: traits.get(home).and_then(|home| home.color.as_deref()).map(plain_color),
                etag: Some(entry.etag.0.clone()),
                editable: entry.writable,
            };
            found.extend(occurrences(&object, &label, &asked.range, &asked.clock, &mut budget)?);
        }
    }
    found.sort_by(|a, b| (a.starts, &a.id).cmp(&(b.starts, &b.id)));
    Ok(found)
}

/// When a person is not free, merged.
pub async fn busy_times(calendars: &Calendars, user: &UserId, asked: &Asked) -> Result<Vec<Busy>, QueryError> {
    let rows = calendars.collections(user).await?;
    let (mut taken, mut budget) = (Vec::new(), Budget::request());
    for row in chosen(&rows, &asked.sources) {
        for entry in candidates(calendars, row, &asked.range).await? {
            let home = if row.id.name.is_unified() { entry.leader() } else { &row.id.name };
            if rows.iter().any(|row| row.id.name == *home && row.transparent) {
                continue;
            }
            let object = calendars.object(&row.id, &entry).await?;
            taken.extend(busy(&object, &asked.range, asked.clock.reading(), &mut budget)?);
        }
    }
    Ok(merge_busy(taken))
}

/// Collections that together hold everything asked for once.
fn chosen<'a>(rows: &'a [Collection], sources: &[CollectionName]) -> Vec<&'a Collection> {
    let is_chosen = |row: &&Collection| {
        if sources.is_empty() {
            matches!(row.kind, CollectionKind::Unified) || !row.unify
        } else {
            sources.contains(&row.id.name)
        }
    };
    rows.iter().filter(is_chosen).collect()
}

async fn candidates(calendars: &Calendars, row: &Collection, range: &TimeRange) -> Result<Vec<Arc<Entry>>, StoreError> {
    let view = calendars.view(&row.id).await?;
    let events = view.candidates(range).into_iter().filter(|entry| entry.component == ComponentKind::Event);
    Ok(events.collect())
}

/// Clients write `#RRGGBBAA`, which not every library reads.
fn plain_color(color: &str) -> String {
    color.get(..7).unwrap_or(color).to_owned()
}
