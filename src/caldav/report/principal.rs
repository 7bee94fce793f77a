//! The reports about principals (RFC 3744 9.2 to 9.5). The only principal that a visitor can see is their own.

use std::collections::VecDeque;

use http::Response;
use http::header::CONTENT_TYPE;

use crate::dav::name::{apple, caldav, dav};
use crate::dav::report::{
    Asked, Matching, PrincipalMatch, PrincipalPropertySearch, PrincipalSearchProperty, PropertySearch, Test,
    write_principal_search_property_set,
};
use crate::dav::{Propfind, QName};
use crate::ical::{DataRequest, Zone};

use super::super::answer::{Item, Items, XML};
use super::super::body::{Body, whole};
use super::super::path::Path;
use super::super::property::{Value, live};
use super::super::resource::{Facts, Subject};
use super::super::{Failure, Request, Service};

impl Service {
    pub(super) async fn principal_property_search(
        &self,
        request: &Request<'_>,
        search: PrincipalPropertySearch,
    ) -> Result<Response<Body>, Failure> {
        let holds_principals = matches!(request.path, Path::Root | Path::Principals);
        let mut found = Vec::new();
        if search.everywhere || holds_principals {
            let subject = self.subject(&principal(request)).await?;
            let facts = self.facts(&request.visitor.user);
            let mut results = search.searches.iter().map(|one| holds(&facts, &subject, one));
            let matched = match search.test {
                Test::All => results.all(|held| held),
                Test::Any => search.searches.is_empty() || results.any(|held| held),
            };
            found.extend(matched.then_some(subject));
        }
        self.tell_subjects(request, search.asked, found).await
    }

    pub(super) async fn principal_match(
        &self,
        request: &Request<'_>,
        matching: PrincipalMatch,
    ) -> Result<Response<Body>, Failure> {
        let own = principal(request);
        let below = match (&matching.whose, &request.path) {
            (Matching::Principal, Path::Root | Path::Principals | Path::Principal(_)) => vec![own.clone()],
            (Matching::Property(_), Path::Root | Path::Homes) => vec![Path::Home(request.visitor.user.clone())],
            (Matching::Property(_), Path::Home(user)) => self.home_members(user).await?,
            _ => Vec::new(),
        };
        let facts = self.facts(&request.visitor.user);
        let mut found = Vec::new();
        for path in below {
            let subject = self.subject(&path).await?;
            let fits = match &matching.whose {
                Matching::Principal => true,
                Matching::Property(name) => names_principal(&facts, &subject, name, &own),
            };
            found.extend(fits.then_some(subject));
        }
        self.tell_subjects(request, matching.asked, found).await
    }

    pub(super) async fn acl_principal_prop_set(
        &self,
        request: &Request<'_>,
        asked: Propfind,
    ) -> Result<Response<Body>, Failure> {
        self.subject(&request.path).await?;
        let own = self.subject(&principal(request)).await?;
        self.tell_subjects(request, asked, vec![own]).await
    }

    async fn tell_subjects(
        &self,
        request: &Request<'_>,
        asked: Propfind,
        subjects: Vec<Subject>,
    ) -> Result<Response<Body>, Failure> {
        let items: VecDeque<Item> = subjects.into_iter().map(|subject| Item::Subject(Box::new(subject))).collect();
        let asked = Asked { properties: asked, data: DataRequest::default() };
        self.tell(request, asked, Items::Known(items), Zone::UTC.into()).await
    }
}

/// The properties by which principals can be found.
pub(super) fn search_property_set() -> Response<Body> {
    let one = |name, description| PrincipalSearchProperty { name, description };
    let body = write_principal_search_property_set(&[
        one(dav::DISPLAYNAME, "Name"),
        one(caldav::CALENDAR_USER_ADDRESS_SET, "Calendar address"),
        one(apple::EMAIL_ADDRESS_SET, "Mail address"),
        one(caldav::CALENDAR_USER_TYPE, "Kind of calendar user"),
    ]);
    let mut response = Response::new(whole(body));
    response.headers_mut().insert(CONTENT_TYPE, XML);
    response
}

fn principal(request: &Request<'_>) -> Path {
    Path::Principal(request.visitor.user.clone())
}

/// Whether all properties that the search names hold the text.
fn holds(facts: &Facts, subject: &Subject, search: &PropertySearch) -> bool {
    search.properties.iter().all(|name| {
        let value = live(name).and_then(|property| property.value(facts, subject));
        value.is_some_and(|value| texts(&value).iter().any(|text| search.matches(text)))
    })
}

fn names_principal(facts: &Facts, subject: &Subject, name: &QName, own: &Path) -> bool {
    let value = live(name).and_then(|property| property.value(facts, subject));
    match value {
        Some(Value::Hrefs(hrefs)) => hrefs.iter().any(|href| Path::of(href).as_ref() == Some(own)),
        _ => false,
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.clone()],
        Value::Hrefs(hrefs) => hrefs.iter().map(|href| href.as_str().to_owned()).collect(),
        Value::Elements(elements) => elements.iter().map(|element| element.text().into_owned()).collect(),
        Value::Empty | Value::Octets(_) | Value::Names(_) => Vec::new(),
    }
}
