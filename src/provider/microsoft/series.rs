//! The instances of a series: changed ones are patched, left-out ones deleted, one by one (providers.md 5.5).
//!
//! A new rule or start makes Exchange forget all of them without a word, so after each write to a master what is there is
//! compared with what is wanted, and made so again. An instance that was deleted there can't be brought back.

use super::Microsoft;
use super::parts::{Part, all};
use super::read::cancelled_date;
use super::refusal::Refusal;
use super::session::{Aim, Ask};
use super::times::{self, When};
use super::wire::{DateTimeTimeZone, Event};
use super::write::{Projection, Slot};
use crate::provider::{Fault, RemoteId};

impl Microsoft {
    /// Makes the instances what `wanted` says. Whether anything was written.
    pub(super) async fn write_instances(
        &self,
        id: &RemoteId,
        wanted: &Projection,
        there: &Event,
    ) -> Result<bool, Fault> {
        if wanted.event.recurrence.is_none() {
            return Ok(false);
        }
        let mut wrote = false;
        for slot in missing(wanted, there) {
            let known = exception_at(there, &slot).map(|exception| exception.id.clone());
            let instance = match known {
                Some(id) => Some(id),
                None => self.find_instance(id, &slot).await?.map(|event| event.id),
            };
            // What the rule does not have needs no leaving out.
            let Some(instance) = instance else { continue };
            let ask = Ask::delete(self.session.event(&RemoteId::new(instance), ""), None);
            match self.session.succeed(&ask, Aim::Event).await {
                Ok(_) | Err(Fault::Gone) => wrote = true,
                Err(fault) => return Err(fault),
            }
        }
        for (slot, event) in changed(wanted, there) {
            let instance = match exception_at(there, &slot) {
                Some(exception) => Some(exception.clone()),
                None => self.find_instance(id, &slot).await?,
            };
            let Some(instance) = instance else { continue };
            let parts = instance_parts(&event, &instance);
            if !parts.is_empty() {
                self.patch(&RemoteId::new(instance.id.clone()), (&parts, &event), &instance).await?;
                wrote = true;
            }
        }
        Ok(wrote)
    }

    /// The instance that the rule has at this place, wherever it was moved.
    pub(super) async fn find_instance(&self, id: &RemoteId, slot: &Slot) -> Result<Option<Event>, Fault> {
        let day = jiff::SignedDuration::from_hours(36);
        let found = self.instances(id, (slot.instant - day, slot.instant + day)).await?;
        Ok(found.into_iter().find(|event| {
            let original = event.original_start.as_deref().and_then(times::stamp);
            let start = event.start.as_ref().and_then(times::instant);
            original.or(start) == Some(slot.instant)
        }))
    }
}

/// Whether any instance has to be written.
pub(super) fn differs(wanted: &Projection, there: &Event) -> bool {
    wanted.event.recurrence.is_some() && (!missing(wanted, there).is_empty() || !changed(wanted, there).is_empty())
}

/// Refuses a series in which an instance comes back that was deleted in Exchange.
pub(super) fn check_restorable(wanted: &Projection, there: &Event) -> Result<(), Refusal> {
    let left_out = |date| wanted.left_out.iter().any(|slot| slot.date == date);
    let is_back =
        there.cancelled_occurrences.iter().flatten().filter_map(|id| cancelled_date(id)).any(|date| !left_out(date));
    if is_back && wanted.event.recurrence.is_some() { Err(Refusal::Restored) } else { Ok(()) }
}

/// Places that are to be left out and are not yet.
fn missing(wanted: &Projection, there: &Event) -> Vec<Slot> {
    let cancelled: Vec<_> = there.cancelled_occurrences.iter().flatten().filter_map(|id| cancelled_date(id)).collect();
    wanted.left_out.iter().copied().filter(|slot| !cancelled.contains(&slot.date)).collect()
}

/// Instances that are to be other than they are: changed ones, and those that are to follow the series again.
fn changed(wanted: &Projection, there: &Event) -> Vec<(Slot, Event)> {
    let mut changed: Vec<(Slot, Event)> = wanted
        .overrides
        .iter()
        .filter(|(slot, event)| exception_at(there, slot).is_none_or(|known| !instance_parts(event, known).is_empty()))
        .cloned()
        .collect();
    let is_wanted = |slot: &Slot| {
        wanted.overrides.iter().any(|(known, _)| known.instant == slot.instant)
            || wanted.left_out.iter().any(|known| known.instant == slot.instant)
    };
    for exception in there.exception_occurrences.iter().flatten() {
        let Some(slot) = slot_of(exception).filter(|slot| !is_wanted(slot)) else { continue };
        let Some(regular) = regular(&wanted.event, &slot) else { continue };
        if !instance_parts(&regular, exception).is_empty() {
            changed.push((slot, regular));
        }
    }
    changed.sort_by_cached_key(|(slot, event)| turn(slot, event, there));
    changed
}

/// The order in which instances move, so that each goes where its neighbour has left already: those that go later from the
/// last on, then the others from the first on.
fn turn(slot: &Slot, event: &Event, there: &Event) -> (bool, i64) {
    let place = |event: &Event| event.start.as_ref().and_then(times::instant);
    let now = exception_at(there, slot).and_then(place).unwrap_or(slot.instant);
    let is_later = place(event).is_some_and(|place| place > now);
    let at = slot.instant.as_second();
    (!is_later, if is_later { -at } else { at })
}

/// The instance as the series has it.
fn regular(master: &Event, slot: &Slot) -> Option<Event> {
    let mut event = Event { recurrence: None, ..master.clone() };
    let when = When::of_event(master)?;
    let length = when.end.instant().duration_since(when.start.instant());
    let zone =
        |at: Option<&DateTimeTimeZone>| at.and_then(|at| at.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned());
    let at = |instant: jiff::Timestamp, zone: &str| {
        let (_, rules) = super::zone::zone_named(zone)?;
        Some(times::wire(rules.to_civil(instant), zone))
    };
    let (start, end) = (zone(master.start.as_ref()), zone(master.end.as_ref()));
    event.start = at(slot.instant, &start);
    event.end = at(slot.instant.checked_add(length).ok()?, &end);
    Some(event)
}

pub(super) fn instance_parts(wanted: &Event, there: &Event) -> Vec<Part> {
    // The list of instances has no stash in it, and an instance has no rule.
    all().filter(|part| !matches!(part, Part::Recurrence | Part::Stash) && !part.agrees(wanted, there)).collect()
}

fn exception_at<'a>(there: &'a Event, slot: &Slot) -> Option<&'a Event> {
    there
        .exception_occurrences
        .iter()
        .flatten()
        .find(|event| slot_of(event).is_some_and(|known| known.instant == slot.instant))
}

fn slot_of(exception: &Event) -> Option<Slot> {
    let instant = exception.original_start.as_deref().and_then(times::stamp)?;
    Some(Slot { instant, date: crate::ical::Zone::UTC.to_civil(instant).date() })
}
