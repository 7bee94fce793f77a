//! PROPPATCH (RFC 4918 9.2): all of it, or nothing and a status for each property.

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use crate::dav::header::Give;
use crate::dav::{MultistatusWriter, Prefer, PropertyUpdate, QName, Update};
use crate::id::CollectionId;

use super::answer::{XML, note_preference};
use super::body::{Body, empty, whole};
use super::path::Path;
use super::property::{Setting, live};
use super::resource::Subject;
use super::setting::{Refused, Wishes};
use super::{Failure, Request, Service};

impl Service {
    pub(super) async fn proppatch(&self, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let update = PropertyUpdate::parse(&request.body)?;
        let subject = self.subject(&request.path).await?;
        let mut wishes = Wishes::default();
        let mut results: Vec<(QName, Result<(), Refused>)> = Vec::new();
        for step in &update.updates {
            let result = wish(&subject, &mut wishes, step);
            // The last word on a property counts; a refusal stays.
            results.retain(|(name, earlier)| name != step.name() || earlier.is_err());
            if results.iter().all(|(name, _)| name != step.name()) {
                results.push((step.name().clone(), result));
            }
        }
        let done = results.iter().all(|(_, result)| result.is_ok());
        if done {
            self.fulfil(&subject, wishes).await?;
        }
        let prefer = Prefer::read(request.headers);
        if done && prefer.give == Give::Minimal {
            // RFC 8144 2.1: nothing more to say than that all is well.
            let mut response = Response::new(empty());
            note_preference(response.headers_mut(), prefer);
            return Ok(response);
        }
        Ok(report(&subject, &results, done))
    }

    async fn fulfil(&self, subject: &Subject, wishes: Wishes) -> Result<(), Failure> {
        let href = subject.href();
        if let Path::Plain(user, path) = &subject.path {
            let set = self.plain()?.set_properties(user, path, &wishes.edits).await;
            return set.map_err(super::plain::failure);
        }
        if let (Some(owner), false) = (subject.owner(), wishes.edits.is_empty()) {
            let set = self.calendars.set_properties(&owner, &wishes.edits).await;
            set.map_err(|error| Failure::of_collection(error, &href))?;
        }
        if let Path::Calendar(id) = &subject.path {
            let updated = self.calendars.update(id, wishes.change).await;
            updated.map_err(|error| Failure::of_collection(error, &href))?;
        }
        Ok(())
    }
}

fn wish(subject: &Subject, wishes: &mut Wishes, step: &Update) -> Result<(), Refused> {
    let calendar: Option<&CollectionId> = match &subject.path {
        Path::Calendar(id) => Some(id),
        _ => None,
    };
    let setting = live(step.name()).map(|property| property.set);
    match (setting, calendar, step) {
        (Some(Setting::Protected | Setting::AtCreation(_)), ..) => Err(Refused::protected()),
        _ if !subject.keeps_properties() => Err(Refused::nowhere()),
        (Some(Setting::Free(which)), Some(_), Update::Set(element)) => wishes.set(which, element),
        (Some(Setting::Free(which)), Some(id), Update::Remove(name)) => {
            wishes.reset(which, name, &id.name);
            Ok(())
        }
        (_, _, Update::Set(element)) => {
            wishes.keep(element);
            Ok(())
        }
        (_, _, Update::Remove(name)) => {
            wishes.forget(name);
            Ok(())
        }
    }
}

fn report(subject: &Subject, results: &[(QName, Result<(), Refused>)], done: bool) -> Response<Body> {
    let mut writer = MultistatusWriter::new(crate::dav::multistatus::Detail::Full);
    let mut member = writer.member(&subject.href());
    for (name, result) in results {
        match result {
            Ok(()) if done => member.named(name),
            Ok(()) => member.refused(name, StatusCode::FAILED_DEPENDENCY, None),
            Err(refused) => member.refused(name, refused.status, refused.why.as_ref()),
        };
    }
    drop(member);
    let mut response = Response::new(whole(writer.finish(None)));
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
}
