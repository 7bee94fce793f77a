//! The answer to a POST of a free/busy request to an outbox: `CALDAV:schedule-response` (RFC 6638 5, 10.1).
//!
//! The request itself is iCalendar; who may be asked is decided elsewhere.

use bytes::Bytes;

use super::name::{QName, caldav, ns::CALDAV};
use super::writer::Writer;

/// What is said about one attendee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The attendee's VFREEBUSY, as an iCalendar object.
    Known(&'a str),
    /// No such user here (3.7).
    UnknownUser,
    /// Not allowed to see it (3.8).
    NoAuthority,
    /// Can't be asked now (5.1).
    CouldNotComplete,
}

impl Verdict<'_> {
    /// `CALDAV:request-status` (RFC 5546 3.6).
    pub fn request_status(self) -> &'static str {
        match self {
            Self::Known(_) => "2.0;Success",
            Self::UnknownUser => "3.7;Invalid Calendar User",
            Self::NoAuthority => "3.8;No authority",
            Self::CouldNotComplete => "5.1;Service unavailable",
        }
    }
}

/// A whole answer: one response for each calendar user address, in the order of the request.
pub fn write_schedule_response(answers: &[(&str, Verdict<'_>)]) -> Bytes {
    let name = |local| QName::fixed(CALDAV, local);
    let (root, response, recipient) = (name("schedule-response"), name("response"), name("recipient"));
    let mut writer = Writer::document(&root);
    for (address, verdict) in answers {
        writer.start(&response).start(&recipient);
        writer.text_element(&super::name::dav::HREF, address).end(&recipient);
        writer.text_element(&name("request-status"), verdict.request_status());
        if let Verdict::Known(data) = verdict {
            writer.text_element(&caldav::CALENDAR_DATA, data);
        }
        writer.end(&response);
    }
    writer.end(&root);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::element::Element;
    use super::super::xml::Limits;
    use super::*;

    #[test]
    fn every_attendee_gets_a_verdict() {
        let data = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n";
        let answers = [("mailto:a@x?&", Verdict::Known(data)), ("mailto:b@x", Verdict::UnknownUser)];
        let root = Element::parse(&write_schedule_response(&answers), Limits::REQUEST).unwrap();
        let responses: Vec<_> = root.children().collect();
        assert_eq!(responses.len(), 2);
        assert_eq!(responses[0].child(&caldav::CALENDAR_DATA).unwrap().text(), data);
        let recipient = responses[0].child(&QName::fixed(CALDAV, "recipient")).unwrap();
        assert_eq!(recipient.child(&super::super::name::dav::HREF).unwrap().text(), "mailto:a@x?&");
        assert!(responses[1].child(&caldav::CALENDAR_DATA).is_none());
    }
}
