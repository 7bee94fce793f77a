//! What was, and what a person has to say to it: conflicts, versions, the trash, the audit log.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, Problem, Request, json as answer};
use crate::calendar::{Author, Cause, ConflictId, ConflictKind, Decision, Deed, Keep, RevisionInfo};
use crate::ical::{Component, Object, Property};
use crate::id::EventId;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    keep: Keep,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restoration {
    revision: u64,
}

/// Lines of the audit log in one answer, at most.
const LINES: usize = 1000;

impl Api {
    pub(super) async fn conflicts(&self, request: &Request<'_>) -> Answer {
        let (calendars, user) = (&self.parts.calendars, &request.who.user);
        let mut records = Vec::new();
        for (id, conflict) in calendars.conflicts(user).await.map_err(Problem::internal)? {
            let event = calendars.event(user, conflict.event).await.map_err(Problem::internal)?;
            let state = match conflict.decision {
                Decision::Open => "open",
                Decision::Ours => "local",
                Decision::Theirs => "remote",
                Decision::Other => "other",
            };
            let kind = match conflict.kind {
                ConflictKind::Edit => "edit",
                ConflictKind::EditDelete => "edit_delete",
                ConflictKind::Twin => "twin",
                ConflictKind::Refused => "refused",
            };
            records.push(json!({
                "id": id.to_string(), "event": conflict.event.to_string(), "uid": event.map(|event| event.uid),
                "source": conflict.source, "created": conflict.at, "kind": kind, "state": state,
                "decided": conflict.decided, "rule": conflict.rule, "properties": conflict.properties,
                "base": self.version(request, conflict.event, conflict.base).await?,
                "local": self.version(request, conflict.event, conflict.ours).await?,
                "remote": self.version(request, conflict.event, conflict.theirs).await?,
            }));
        }
        Ok(answer(StatusCode::OK, &records))
    }

    /// What one side says, property by property.
    async fn version(&self, request: &Request<'_>, event: EventId, revision: Option<u64>) -> Result<Value, Problem> {
        let Some(number) = revision else { return Ok(Value::Null) };
        let found = self.parts.calendars.revision(&request.who.user, event, number).await;
        let properties = found.map_err(Problem::internal)?.map(|object| properties(&object));
        Ok(json!({ "revision": number, "properties": properties }))
    }

    pub(super) async fn resolve_conflict(&self, request: &Request<'_>, id: &str) -> Answer {
        let resolution: Resolution = request.read()?;
        let number: ConflictId = id.parse().map_err(|_| Problem::not_found("There is no such conflict."))?;
        self.parts.sync.resolve(&request.who.user, number, resolution.keep).await?;
        Ok(answer(StatusCode::OK, &json!({ "id": id, "keep": resolution.keep })))
    }

    pub(super) async fn history(&self, request: &Request<'_>, uid: &str) -> Answer {
        let revisions = self.revisions(request, uid).await?;
        let records: Vec<Value> = revisions.iter().map(|one| revision(uid, one)).collect();
        Ok(answer(StatusCode::OK, &records))
    }

    pub(super) async fn restore(&self, request: &Request<'_>, uid: &str) -> Answer {
        let wanted: Restoration = request.read()?;
        let revisions = self.revisions(request, uid).await?;
        let found = revisions.into_iter().rev().find(|one| one.revision == wanted.revision);
        let found = found.ok_or_else(|| Problem::not_found("There is no such version of this event."))?;
        let user = &request.who.user;
        let author = Author::Person(user.clone());
        self.parts.calendars.restore(user, found.event, wanted.revision, &author).await?;
        let record = json!({ "id": found.event.to_string(), "uid": uid, "revision": wanted.revision });
        Ok(answer(StatusCode::OK, &record))
    }

    async fn revisions(&self, request: &Request<'_>, uid: &str) -> Result<Vec<RevisionInfo>, Problem> {
        let found = self.parts.calendars.history(&request.who.user, uid).await.map_err(Problem::internal)?;
        if found.is_empty() { Err(Problem::not_found("There is no event of this UID.")) } else { Ok(found) }
    }

    pub(super) async fn trash(&self, request: &Request<'_>) -> Answer {
        let (calendars, user) = (&self.parts.calendars, &request.who.user);
        let mut records = Vec::new();
        for (event, row) in calendars.trash(user).await.map_err(Problem::internal)? {
            let object = calendars.revision(user, event, row.revision).await.map_err(Problem::internal)?;
            let title = object.as_ref().and_then(|object| object.members().next()?.property("SUMMARY"));
            records.push(json!({
                "id": event.to_string(), "uid": row.uid, "revision": row.revision, "deleted": row.modified,
                "title": title.map(Property::text), "source": row.former.first().map(|member| &member.collection),
            }));
        }
        Ok(answer(StatusCode::OK, &records))
    }

    pub(super) async fn audit(&self, request: &Request<'_>) -> Answer {
        let last = request.asked("last").and_then(|last| last.parse().ok()).unwrap_or(200).min(LINES);
        let lines = self.parts.calendars.audit(&request.who.user, last).await.map_err(Problem::internal)?;
        let records: Vec<Value> = lines
            .iter()
            .map(|(number, line)| {
                let (author, by) = author(&line.author);
                json!({
                    "id": number.to_string(), "created": line.at, "author": author, "by": by,
                    "deed": deed(line.deed), "cause": cause(line.cause), "event": line.event.to_string(),
                    "uid": line.uid, "revision": line.revision, "sources": line.collections, "rule": line.rule,
                })
            })
            .collect();
        Ok(answer(StatusCode::OK, &records))
    }
}

/// The properties of an event's first component, as they stand there.
fn properties(object: &Object) -> Value {
    let leading = object.master().or_else(|| object.members().next());
    let lines = leading.into_iter().flat_map(Component::properties);
    Value::Array(lines.map(|line| json!({ "name": line.name(), "value": line.text() })).collect())
}

fn revision(uid: &str, one: &RevisionInfo) -> Value {
    let (author, by) = author(&one.author);
    json!({
        "id": format!("{}-{}", one.event, one.revision), "uid": uid, "revision": one.revision, "created": one.at,
        "author": author, "by": by, "etag": one.etag, "length": one.length, "current": one.served,
    })
}

fn author(author: &Author) -> (&'static str, Option<String>) {
    match author {
        Author::Client { device, .. } => ("client", device.clone()),
        Author::Provider(source) => ("provider", Some(source.to_string())),
        Author::Person(user) => ("person", Some(user.to_string())),
        Author::Import => ("import", None),
        Author::Gateway => ("gateway", None),
    }
}

fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Created => "created",
        Deed::Edited => "edited",
        Deed::Deleted => "deleted",
        Deed::Restored => "restored",
        Deed::Moved => "moved",
        Deed::Kept => "kept",
    }
}

fn cause(cause: Cause) -> String {
    format!("{cause:?}").to_lowercase()
}
