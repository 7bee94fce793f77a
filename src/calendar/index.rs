//! The time index of a view: which entries may have to do with a stretch of time.
//!
//! Short spans stand in buckets of a month; entries with a long one (series without end, above all) in a list that every
//! question goes through. It admits too much, never too little: what it names is matched exactly afterwards.
//! Persistent maps, so that the next view shares all but what has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::calendar::view::{ByName, Entry};
use crate::ical::TimeRange;

/// Entries by the months they touch.
#[derive(Clone, Debug, Default)]
pub struct TimeIndex {
    buckets: OrdMap<i64, OrdSet<ByName>>,
    long: OrdSet<ByName>,
}

impl TimeIndex {
    pub(crate) fn insert(&mut self, entry: &Arc<Entry>) {
        match buckets_of(entry) {
            None => {
                self.long.insert(ByName(Arc::clone(entry)));
            }
            Some(buckets) => {
                for bucket in buckets {
                    self.buckets.entry(bucket).or_default().insert(ByName(Arc::clone(entry)));
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, entry: &Arc<Entry>) {
        let key = ByName(Arc::clone(entry));
        let Some(buckets) = buckets_of(entry) else {
            self.long.remove(&key);
            return;
        };
        for bucket in buckets {
            if let Some(inside) = self.buckets.get_mut(&bucket) {
                inside.remove(&key);
                if inside.is_empty() {
                    self.buckets.remove(&bucket);
                }
            }
        }
    }

    /// The entries that may overlap `range`, by name.
    pub(crate) fn candidates(&self, range: &TimeRange) -> Vec<Arc<Entry>> {
        let (start, end) = (range.start.as_second(), range.end.as_second());
        if end < start {
            return Vec::new();
        }
        let months = self.buckets.range(bucket(start)..=bucket(end)).flat_map(|(_, entries)| entries.iter());
        let found: BTreeSet<&ByName> = months
            .chain(self.long.iter())
            .filter(|entry| entry.0.spans.spans.iter().any(|span| span.0 <= end && span.1 >= start))
            .collect();
        found.into_iter().map(|entry| Arc::clone(&entry.0)).collect()
    }
}

/// The months of an entry; `None` if there are too many to be worth it.
fn buckets_of(entry: &Entry) -> Option<Vec<i64>> {
    let mut buckets = Vec::new();
    for (start, end) in &entry.spans.spans {
        let (first, last) = (bucket(*start), bucket(*end));
        if last.saturating_sub(first) > WIDE {
            return None;
        }
        buckets.extend(first..=last);
    }
    buckets.dedup();
    Some(buckets)
}

fn bucket(second: i64) -> i64 {
    second.div_euclid(MONTH)
}

/// Seconds of a bucket: a twelfth of a mean year.
const MONTH: i64 = 2_629_746;

/// A span over more months than this is long.
const WIDE: i64 = 2;
