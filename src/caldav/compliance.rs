//! `GET /dav/compliance`: what this server speaks, made from the tables that it answers by.
//!
//! Nothing on the page is written by hand but the headings and what is left out on purpose. It tells of kinds of
//! resources, never of resources, so nobody has to sign in for it.

use std::fmt::Write as _;

use http::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use crate::dav::report::NAMES as REPORTS;
use crate::dav::{Precondition, QName, writer};
use crate::ical::Collation;

use super::COMPLIANCE;
use super::body::{Body, whole};
use super::property::{On, PROPERTIES, Setting};

/// The page.
pub fn page() -> Response<Body> {
    let page = text();
    let length = page.len();
    let mut response = Response::new(whole(page));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn text() -> String {
    let properties = PROPERTIES.iter().map(|property| {
        let set = match property.set {
            Setting::Protected => "",
            Setting::AtCreation(_) => "when it is made",
            Setting::Free(_) => "yes",
        };
        let shown = if property.allprop { "yes" } else { "" };
        vec![clark(&property.name), property.rfc.to_owned(), kinds(property.on), set.to_owned(), shown.to_owned()]
    });
    let names = REPORTS;
    let reports = names.iter().zip(REPORT_SECTIONS).map(|(name, rfc)| vec![clark(name), (*rfc).to_owned()]);
    let conditions = conditions();
    let conditions = conditions.iter().map(|(condition, rfc)| {
        vec![clark(&condition.element()), (*rfc).to_owned(), condition.status().as_u16().to_string()]
    });
    let collations = Collation::ALL.iter().map(|one| vec![one.name().to_owned()]);
    let left_out = LEFT_OUT.iter().map(|(what, why)| vec![(*what).to_owned(), (*why).to_owned()]);
    [
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>LinearTime: compliance</title><h1>What this server \
         speaks</h1>"
            .to_owned(),
        format!("<p>DAV: {COMPLIANCE}</p>"),
        table("Properties", &["name", "RFC", "on", "can be set", "in allprop"], properties),
        table("Reports", &["name", "RFC"], reports),
        table("Conditions", &["element", "RFC", "status"], conditions),
        table("Collations", &["name"], collations),
        table("Left out on purpose", &["what", "why"], left_out),
        "</html>\n".to_owned(),
    ]
    .concat()
}

fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = format!("<h2>{title}</h2><table><tr>");
    for cell in head {
        push(&mut out, "th", cell);
    }
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            push(&mut out, "td", &cell);
        }
    }
    out.push_str("</table>");
    out
}

fn push(out: &mut String, element: &str, text: &str) {
    let text = writer::escaped(text);
    // Writing to a String can't fail.
    let _fine = write!(out, "<{element}>{}</{element}>", String::from_utf8_lossy(&text)).is_ok();
}

fn clark(name: &QName) -> String {
    format!("{{{}}}{}", name.ns(), name.local())
}

fn kinds(on: On) -> String {
    let named = KINDS.iter().filter(|(kind, _)| on.meets(*kind)).map(|(_, name)| *name);
    if on == On::ANY { "everything".to_owned() } else { named.collect::<Vec<_>>().join(", ") }
}

/// The conditions that requests can meet.
fn conditions() -> Vec<(Precondition, &'static str)> {
    use Precondition as P;
    vec![
        (P::CannotModifyProtectedProperty, "4918 16"),
        (P::NoExternalEntities, "4918 16"),
        (P::PropfindFiniteDepth, "4918 9.1.1"),
        (P::ResourceMustBeNull, "4791 5.3.1.1"),
        (P::SupportedReport, "3253 3.6"),
        (P::NeedPrivileges(Vec::new()), "3744 7.1.1"),
        (P::NumberOfMatchesWithinLimits, "4791 7.8"),
        (P::QuotaNotExceeded, "4331 6"),
        (P::SufficientDiskSpace, "4331 6"),
        (P::CalendarCollectionLocationOk, "4791 5.3.1.1"),
        (P::SupportedCalendarComponent, "4791 5.3.2.1"),
        (P::SupportedCalendarData, "4791 5.3.2.1"),
        (P::ValidCalendarData, "4791 5.3.2.1"),
        (P::ValidCalendarObjectResource, "4791 5.3.2.1"),
        (P::NoUidConflict(None), "4791 5.3.2.1"),
        (P::MaxResourceSize, "4791 5.3.2.1"),
        (P::MinDateTime, "4791 5.3.2.1"),
        (P::MaxDateTime, "4791 5.3.2.1"),
        (P::MaxInstances, "4791 5.3.2.1"),
        (P::MaxAttendeesPerInstance, "4791 5.3.2.1"),
        (P::ValidFilter, "4791 7.8"),
        (P::SupportedFilter(None), "4791 7.8"),
        (P::SupportedCollation, "4791 7.5.1"),
        (P::ValidResourcetype, "5689 3.3"),
        (P::ValidSyncToken, "6578 3.2"),
        (P::ValidOrganizer, "6638 3.2.4"),
        (P::ValidSchedulingMessage, "6638 5"),
        (P::ValidTimezone, "7809 5.1"),
        (P::InvalidSubscription, "webdav-push"),
        (P::NoSupportedTrigger, "webdav-push"),
        (P::PushNotAvailable, "webdav-push"),
    ]
}

const REPORT_SECTIONS: &[&str] =
    &["4791 7.8", "4791 7.9", "4791 7.10", "6578 3.2", "3253 3.8", "3744 9.4", "3744 9.5", "3744 9.3", "3744 9.2"];

const KINDS: &[(On, &str)] = &[
    (On::UPPER, "upper collections"),
    (On::PRINCIPAL, "principals"),
    (On::HOME, "homes"),
    (On::INBOX, "inboxes"),
    (On::OUTBOX, "outboxes"),
    (On::CALENDAR, "calendars"),
    (On::OBJECT, "objects"),
    (On::MESSAGE, "messages"),
    (On::FOLDER, "plain folders"),
    (On::FILE, "plain files"),
];

const LEFT_OUT: &[(&str, &str)] = &[
    ("RFC 4918 class 2 (locks)", "no calendar client locks; a lock left behind keeps everybody else out"),
    ("RFC 4918 Depth: infinity in PROPFIND", "refused by DAV:propfind-finite-depth"),
    ("RFC 3744 ACL", "refused by DAV:need-privileges: all rights on what is one's own, none on what is not"),
    ("RFC 6638 delivery by mail", "providers invite; users of this server are reached directly"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_row_of_the_tables() {
        let page = text();
        for property in PROPERTIES {
            assert!(page.contains(&clark(&property.name)), "{}", property.name.local());
        }
        for report in &REPORTS {
            assert!(page.contains(&clark(report)));
        }
        assert_eq!(REPORT_SECTIONS.len(), REPORTS.len());
        assert!(page.contains("{urn:ietf:params:xml:ns:caldav}valid-calendar-data</td><td>4791 5.3.2.1</td><td>403"));
    }
}
