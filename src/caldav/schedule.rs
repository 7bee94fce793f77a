//! POST to the outbox (RFC 6638 5): when have these people time?
//!
//! The gateway answers for its own users; others are "no such user". Invitations are not taken here: they go out when
//! the event is written (`invite`, or the provider that holds it), and the gateway sends no mail.

use http::Response;
use http::header::CONTENT_TYPE;

use crate::dav::Precondition;
use crate::dav::freebusy_post::{Verdict, write_schedule_response};
use crate::ical::{Budget, Component, DateOrTime, Object, Property, TimeRange, merge_busy, vfreebusy};

use super::answer::XML;
use super::body::{Body, whole};
use super::path::Path;
use super::put::check_kind;
use super::resource::Facts;
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn post(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let user = match &request.path {
            Path::Outbox(user) => user,
            Path::Calendar(id) => return self.push_register(request, id).await,
            _ => return Err(Failure::NotAllowed),
        };
        check_kind(request.headers)?;
        let object = Object::parse(request.body.clone()).map_err(|_| Precondition::ValidCalendarData)?;
        let facts = self.facts(user);
        let asked = Asked::read(&object, &facts)?;
        let mut budget = Budget::request();
        let mut replies: Vec<(&str, Option<String>)> = Vec::with_capacity(asked.attendees.len());
        for address in &asked.attendees {
            let who = if facts.is_own_address(address) { Some(user.clone()) } else { self.resident(address).await? };
            let reply = match who {
                Some(who) => {
                    let mut taken = Vec::new();
                    for id in self.busy_calendars(&who).await? {
                        taken.extend(self.busy_times(&id, &asked.range, &mut budget).await?);
                    }
                    let busy = vfreebusy(&asked.uid, &merge_busy(taken), &asked.range, self.clock.now());
                    Some(asked.reply(&String::from_utf8_lossy(&busy), address))
                }
                None => None,
            };
            replies.push((address.as_str(), reply));
        }
        let verdicts: Vec<(&str, Verdict<'_>)> = replies
            .iter()
            .map(|(address, reply)| (*address, reply.as_deref().map_or(Verdict::UnknownUser, Verdict::Known)))
            .collect();
        let mut response = Response::new(whole(write_schedule_response(&verdicts)));
        response.headers_mut().insert(CONTENT_TYPE, XML);
        Ok(response)
    }
}

/// A free-busy request.
struct Asked {
    uid: String,
    organizer: String,
    attendees: Vec<String>,
    range: TimeRange,
}

impl Asked {
    fn read(object: &Object, facts: &Facts) -> Result<Self, Failure> {
        let method = object.root().property("METHOD").map(Property::text).unwrap_or_default();
        let request = object.root().child("VFREEBUSY").filter(|_| method.eq_ignore_ascii_case("REQUEST"));
        let request = request.ok_or(Precondition::ValidSchedulingMessage)?;
        let organizer = request.property("ORGANIZER").map(|p| p.value().to_owned());
        let organizer = organizer.ok_or(Precondition::ValidSchedulingMessage)?;
        if !facts.is_own_address(&organizer) {
            return Err(Precondition::ValidOrganizer.into());
        }
        let attendees: Vec<String> = request.all("ATTENDEE").map(|p| p.value().to_owned()).collect();
        if attendees.len() > facts.limits.attendees {
            return Err(Precondition::MaxAttendeesPerInstance.into());
        }
        let (start, end) = (instant(request, "DTSTART")?, instant(request, "DTEND")?);
        if start >= end || attendees.is_empty() {
            return Err(Precondition::ValidSchedulingMessage.into());
        }
        let uid = request.property("UID").map(Property::text).unwrap_or_default();
        Ok(Self { uid, organizer, attendees, range: TimeRange { start, end } })
    }

    /// The answer as a reply to this request (RFC 5546 3.3.2): what is asked back is said back.
    fn reply(&self, busy: &str, attendee: &str) -> String {
        let own = format!("ORGANIZER:{}\r\nATTENDEE:{attendee}\r\n", self.organizer);
        let mut out = String::with_capacity(busy.len() + own.len() + 16);
        for line in busy.split_inclusive("\r\n") {
            out.push_str(line);
            match line.trim_end() {
                "BEGIN:VCALENDAR" => out.push_str("METHOD:REPLY\r\n"),
                "BEGIN:VFREEBUSY" => out.push_str(&own),
                _ => {}
            }
        }
        out
    }
}

fn instant(component: &Component, name: &str) -> Result<jiff::Timestamp, Failure> {
    let read = component.property(name).and_then(|property| DateOrTime::parse(property).ok());
    match read {
        Some(DateOrTime::Utc(at)) => Ok(at),
        _ => Err(Precondition::ValidSchedulingMessage.into()),
    }
}
