//! An invitation that somebody else sent: the owner of the mailbox may answer it, and keep notes of their own.
//!
//! What the organizer decides is overwritten by their next update, so a change of it is refused. An answer goes by action,
//! never by PATCH; it is queued there, so it is not repeated when the next read does not show it yet (catalogue 50).

use serde_json::json;

use super::Microsoft;
use super::parts::{Part, differing};
use super::push::refused;
use super::session::{Aim, Ask};
use super::wire::{Event, ResponseStatus};
use super::write::{Projection, Slot, project, response, status};
use crate::ical::Object;
use crate::provider::{Change, Fault, Notify, RemoteId, Version, Written};

impl Microsoft {
    pub(super) async fn update_as_guest(
        &self,
        version: &Version,
        change: &Change<'_>,
        there: &Event,
    ) -> Result<Written, Fault> {
        let wanted = project(change.object, &self.mailbox()).map_err(refused)?;
        self.check_own(change, &wanted, there)?;
        let own = |part: &Part| OWN.contains(part);
        let parts: Vec<Part> = differing(&wanted.event, there).into_iter().filter(own).collect();
        if !parts.is_empty() {
            self.patch(&version.id, (&parts, &wanted.event), there).await?;
        }
        let tells = change.notify == Notify::Attendees;
        let mut answered = None;
        if let Some(answer) = self.new_answer(change.object, there) {
            self.respond(&version.id, answer, tells).await?;
            answered = Some(answer);
        }
        self.answer_instances(change.object, (&version.id, there), tells).await?;
        let mut now = match self.event(&version.id).await {
            // A declined meeting leaves the calendar; and once answered, a read that fails must not lead to a second mail.
            Err(_) if answered.is_some() => there.clone(),
            other => other?,
        };
        if let Some(answer) = answered {
            now.response_status = Some(ResponseStatus { response: Some(answer.to_owned()), time: None });
        }
        self.written(&version.id, &now, change.object)
    }

    /// Refuses changes of what only the organizer can change.
    fn check_own(&self, change: &Change<'_>, wanted: &Projection, there: &Event) -> Result<(), Fault> {
        let base = change.base.and_then(|base| project(base, &self.mailbox()).ok());
        let changed = match &base {
            Some(base) => differing(&wanted.event, &base.event),
            None => differing(&wanted.event, there),
        };
        if changed.iter().any(|part| !OWN.contains(part) && !matches!(part, Part::People | Part::Importance)) {
            return Err(Fault::Refused(
                "only the organizer can change this meeting; you can answer it, or propose another time to them"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn new_answer(&self, object: &Object, there: &Event) -> Option<&'static str> {
        let address = self.mailbox().address?;
        let answer = response(object.master()?, &address)?;
        let now = there.response_status.as_ref().and_then(|status| status.response.as_deref());
        (now != Some(answer)).then_some(answer)
    }

    /// Answers that differ for single instances.
    async fn answer_instances(
        &self,
        object: &Object,
        (id, there): (&RemoteId, &Event),
        tells: bool,
    ) -> Result<(), Fault> {
        let Some(address) = self.mailbox().address else { return Ok(()) };
        let Ok(wanted) = project(object, &self.mailbox()) else { return Ok(()) };
        let series = object.master().and_then(|master| response(master, &address));
        // As `project` takes them: a cancelled one is left out, not changed.
        let overrides = object.members().filter(|member| {
            member.property("RECURRENCE-ID").is_some() && !status(member).eq_ignore_ascii_case("CANCELLED")
        });
        for (member, (slot, _)) in overrides.zip(&wanted.overrides) {
            let Some(answer) = response(member, &address) else { continue };
            let known = there.exception_occurrences.iter().flatten().find(|exception| is_at(exception, slot));
            let now = known.and_then(|exception| exception.response_status.as_ref()?.response.as_deref()).or(series);
            if now == Some(answer) {
                continue;
            }
            let instance = match known {
                Some(exception) => Some(RemoteId::new(exception.id.clone())),
                None => self.find_instance(id, slot).await?.map(|event| RemoteId::new(event.id)),
            };
            if let Some(instance) = instance {
                self.respond(&instance, answer, tells).await?;
            }
        }
        Ok(())
    }

    /// Answers an invitation; `tells`: the organizer gets a mail.
    pub(super) async fn respond(&self, id: &RemoteId, answer: &str, tells: bool) -> Result<(), Fault> {
        let action = match answer {
            "accepted" => "/accept",
            "declined" => "/decline",
            _ => "/tentativelyAccept",
        };
        let ask = Ask::post(self.session.event(id, action), json!({"comment": "", "sendResponse": tells}));
        self.session.succeed(&ask, Aim::Event).await.map(|_| ())
    }
}

fn is_at(exception: &Event, slot: &Slot) -> bool {
    exception.original_start.as_deref().and_then(super::times::stamp) == Some(slot.instant)
}

/// What the owner of the mailbox may write on an invitation.
const OWN: &[Part] = &[Part::Categories, Part::Sensitivity, Part::Busy, Part::Reminder, Part::Stash];
