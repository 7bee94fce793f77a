//! Events: versions, conflicts, bringing in and taking out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Answer, Failure, Listener, Progress, existing, failed};
use crate::app::Gateway;
use crate::calendar::{
    Author, Cause, Collection, CollectionKind, Conditions, ConflictId, ConflictKind, Decision, Deed, Keep, PutError,
    Refusal, RevisionInfo,
};
use crate::ical::{self, ComponentKind, Object};
use crate::id::{CollectionId, CollectionName, EventId, Place, ResourceName, UserId};

pub(super) async fn conflicts(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let mut records = Vec::new();
    for (id, conflict) in gateway.calendars.conflicts(&user).await? {
        let event = gateway.calendars.event(&user, conflict.event).await?;
        let state = match conflict.decision {
            Decision::Open => "open",
            Decision::Ours => "local",
            Decision::Theirs => "remote",
            Decision::Other => "other",
        };
        records.push(json!({
            "id": id.to_string(), "uid": event.map(|event| event.uid), "source": conflict.source, "created": conflict.at,
            "kind": word(conflict.kind), "state": state, "decided": conflict.decided, "rule": conflict.rule,
            "properties": conflict.properties,
            "base": conflict.base, "local": conflict.ours, "remote": conflict.theirs,
        }));
    }
    Ok(Answer::list(records))
}

pub(super) async fn resolve(gateway: &Gateway, user: &str, id: &str, keep: Keep) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let Ok(number) = id.parse::<ConflictId>() else {
        return failed(format!("{id} is no conflict; `lineartime conflict list {user}` lists them"));
    };
    gateway.sync.resolve(&user, number, keep).await?;
    let what = match keep {
        Keep::Local => "the version of this side is kept",
        Keep::Remote => "the version of the provider is kept",
        Keep::Both => "both are kept, one of them as an event of its own",
    };
    Ok(Answer::saying(json!({ "id": id, "keep": keep }), what))
}

/// The plain word that a variant is in JSON.
fn word(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Edit => "edit",
        ConflictKind::EditDelete => "edit_delete",
        ConflictKind::Twin => "twin",
        ConflictKind::Refused => "refused",
    }
}

/// Who did what, the latest first.
pub(super) async fn audit(gateway: &Gateway, user: &str, last: usize) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let (lines, devices) = (gateway.calendars.audit(&user, last).await?, devices(gateway, &user).await?);
    Ok(Answer::list(lines.iter().map(|(number, line)| {
        let (author, by) = named(&line.author, &devices);
        let action = match line.deed {
            Deed::Created => "created",
            Deed::Edited => "edited",
            Deed::Deleted => "deleted",
            Deed::Restored => "restored",
            Deed::Moved => "moved",
            Deed::Kept => "kept",
        };
        let cause = match line.cause {
            Cause::Edit => "edit",
            Cause::Delete => "delete",
            Cause::Move => "move",
            Cause::Follow => "follow",
            Cause::Merge => "merge",
            Cause::Restore => "restore",
        };
        json!({
            "id": number, "created": line.at, "author": author, "by": by, "action": action, "cause": cause,
            "uid": line.uid, "revision": line.revision, "calendars": line.collections, "rule": line.rule,
        })
    })))
}

/// What a person calls their devices, by the id that stands in the record. One whose password was revoked has its id alone.
async fn devices(gateway: &Gateway, user: &UserId) -> Result<BTreeMap<String, String>, Failure> {
    let list = gateway.users.app_password_list(user).await?;
    Ok(list.into_iter().map(|one| (one.id.to_string(), one.label)).collect())
}

/// The kind of an author, and which one.
fn named(author: &Author, devices: &BTreeMap<String, String>) -> (&'static str, String) {
    match author {
        Author::Client { user, device: None } => ("client", user.to_string()),
        Author::Client { user, device: Some(device) } => {
            ("client", format!("{user} ({})", devices.get(device).unwrap_or(device)))
        }
        Author::Provider(source) => ("provider", source.to_string()),
        Author::Person(user) => ("person", user.to_string()),
        Author::Import => ("import", String::new()),
        Author::Gateway => ("gateway", String::new()),
    }
}

pub(super) async fn history(gateway: &Gateway, user: &str, uid: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let revisions = gateway.calendars.history(&user, uid).await?;
    if revisions.is_empty() {
        return failed(format!("{user} never had an event with the UID {uid}"));
    }
    let mut held = BTreeMap::<(EventId, u64), Vec<Value>>::new();
    let mut explained = BTreeMap::<(EventId, u64), Vec<String>>::new();
    for event in revisions.iter().map(|one| one.event).collect::<BTreeSet<_>>() {
        for (revision, why) in gateway.calendars.explained(&user, event).await? {
            explained.entry((event, revision)).or_default().push(why);
        }
        for one in gateway.sync.held_back(&user, event).await? {
            let told = json!({ "source": one.source, "properties": one.properties });
            held.entry((event, one.revision)).or_default().push(told);
        }
    }
    let devices = devices(gateway, &user).await?;
    Ok(Answer::list(revisions.iter().map(|one| {
        let mut document = revision(uid, one, &devices);
        // What a source could not take of this version, so that it is here alone.
        let here_alone = held.remove(&(one.event, one.revision)).unwrap_or_default();
        if let Value::Object(members) = &mut document {
            members.insert("held_back".to_owned(), Value::Array(here_alone));
            // Why it went where it went, and by which rule it is what it is.
            let why = explained.remove(&(one.event, one.revision)).unwrap_or_default();
            members.insert("explain".to_owned(), json!((!why.is_empty()).then(|| why.join("; "))));
        }
        document
    })))
}

/// What one version says.
pub(super) async fn version(gateway: &Gateway, user: &str, uid: &str, number: u64) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let found = numbered(gateway, &user, uid, number).await?;
    let Some(octets) = gateway.calendars.octets(&user, found.event, number).await? else {
        return failed(format!("revision {number} of {uid} is no longer kept"));
    };
    let text = String::from_utf8_lossy(&octets).into_owned();
    let mut document = revision(uid, &found, &devices(gateway, &user).await?);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("calendar".to_owned(), Value::String(text.clone()));
    }
    Ok(Answer::saying(document, text))
}

async fn numbered(gateway: &Gateway, user: &UserId, uid: &str, number: u64) -> Result<RevisionInfo, Failure> {
    let revisions = gateway.calendars.history(user, uid).await?;
    match revisions.into_iter().rev().find(|one| one.revision == number) {
        Some(found) => Ok(found),
        None => failed(format!("there is no revision {number} of {uid}; `lineartime history {user} {uid}` lists them")),
    }
}

pub(super) async fn restore(gateway: &Gateway, user: &str, uid: &str, number: u64) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let found = numbered(gateway, &user, uid, number).await?;
    let author = Author::Person(user.clone());
    gateway.calendars.restore(&user, found.event, number, &author).await?;
    let text = format!("revision {number} of {uid} is back");
    Ok(Answer::saying(json!({ "id": found.event, "uid": uid, "revision": number }), text))
}

/// Every object of the file on its own: what can't be taken is told, the rest comes in.
pub(super) async fn import(
    gateway: &Gateway,
    user: &str,
    source: Option<&str>,
    content: &str,
    progress: &Listener,
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let chosen = match source {
        Some(source) => Some(collection(gateway, &user, source).await?),
        None => None,
    };
    let objects = ical::split(content.as_bytes());
    let total = objects.len() as u64;
    let (mut created, mut updated, mut refused) = (0_u64, 0_u64, Vec::new());
    for (done, object) in (1..).zip(objects) {
        let taken = match object {
            Ok(object) => {
                let uid = object.uid().to_owned();
                let target = match &chosen {
                    Some(chosen) => chosen.id.clone(),
                    // The unified calendar holds events; all else has its place in the local one.
                    None if object.kind() == ComponentKind::Event => {
                        CollectionId::new(&user, CollectionName::unified())
                    }
                    None => CollectionId::new(&user, CollectionName::local()),
                };
                take_in(gateway, target, object).await.map_err(|error| (Some(uid), error.0))
            }
            Err(error) => Err((None, error.to_string())),
        };
        match taken {
            Ok(true) => created += 1,
            Ok(false) => updated += 1,
            Err((uid, why)) => refused.push(json!({ "uid": uid, "reason": why })),
        }
        progress(Progress { message: "importing".to_owned(), done, total });
    }
    if created + updated == 0 && !refused.is_empty() {
        let why = refused.first().and_then(|one| one.get("reason")).and_then(Value::as_str).unwrap_or_default();
        return failed(format!("nothing was imported: {why}"));
    }
    let text = format!("{created} new, {updated} replaced, {} refused", refused.len());
    let notes = refused.iter().map(|one| format!("refused: {one}")).collect();
    let document = json!({ "created": created, "updated": updated, "refused": refused });
    Ok(Answer { document, text: Some(text), notes })
}

/// Whether the object is new here. One with a known UID replaces it.
async fn take_in(gateway: &Gateway, target: CollectionId, object: Object) -> Result<bool, Failure> {
    let mut name = file_name(&object);
    for _ in 0..2 {
        let place = Place { collection: target.clone(), name };
        match gateway.calendars.put(&place, object.clone(), &Conditions::NONE, &Author::Import).await {
            Ok(put) => return Ok(put.created),
            Err(PutError::Refused(Refusal::UidTaken(taken))) => name = taken,
            Err(error) => return Err(error.into()),
        }
    }
    failed("another object has this UID")
}

/// A name that is the same whenever the same file is imported.
pub(crate) fn file_name(object: &Object) -> ResourceName {
    use sha2::Digest as _;
    let uid = object.uid();
    let plain = uid.len() <= 200 && uid.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
    let stem = if plain && !uid.is_empty() {
        uid.to_owned()
    } else {
        let digest = sha2::Sha256::digest(uid.as_bytes());
        data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default())
    };
    // Neither form can be refused; the fixed name stands for "cannot happen".
    format!("{stem}.ics").parse().unwrap_or_else(|_| fixed_name())
}

#[expect(clippy::expect_used, reason = "a constant")]
fn fixed_name() -> ResourceName {
    "imported.ics".parse().expect("a name")
}

pub(super) async fn export(gateway: &Gateway, user: &str, source: Option<&str>) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let collections = match source {
        Some(source) => vec![collection(gateway, &user, source).await?.id],
        None => everything(&gateway.calendars.collections(&user).await?),
    };
    // An event of several sources is one event.
    let (mut objects, mut seen) = (Vec::new(), BTreeSet::new());
    for id in &collections {
        let view = gateway.calendars.view(id).await?;
        for entry in view.entries().filter(|entry| seen.insert(entry.event)) {
            objects.push(gateway.calendars.object(id, entry).await?);
        }
    }
    let octets = ical::join(objects.iter().map(|object| &**object), &[]);
    let text = String::from_utf8_lossy(&octets).into_owned();
    Ok(Answer::saying(json!({ "user": user, "count": objects.len(), "calendar": text }), text.clone()))
}

/// Collections that together hold everything once: the unified one for what is unified, and all others for the
/// rest. Tasks of unified collections stand in no unified calendar, so those are read where they are.
fn everything(collections: &[Collection]) -> Vec<CollectionId> {
    collections.iter().filter(|one| !matches!(one.kind, CollectionKind::Unified)).map(|one| one.id.clone()).collect()
}

/// Empties a user's calendars and forgets their history.
pub(super) async fn remove_all(gateway: &Gateway, user: &UserId) -> Result<(), Failure> {
    let author = Author::Person(user.clone());
    for collection in gateway.calendars.collections(user).await? {
        if matches!(collection.kind, CollectionKind::Unified) {
            continue;
        }
        match gateway.calendars.delete_collection(&collection.id).await {
            Ok(()) => continue,
            // The one that everybody has stays, and is emptied.
            Err(PutError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let view = gateway.calendars.view(&collection.id).await?;
        for entry in view.entries() {
            let place = Place { collection: collection.id.clone(), name: entry.name.clone() };
            match gateway.calendars.delete(&place, &Conditions::NONE, &author).await {
                Ok(_) | Err(PutError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    gateway.calendars.drop_notices(user).await?;
    gateway.calendars.purge(user, jiff::Timestamp::MAX).await?;
    gateway.calendars.set_routes(user, Vec::new()).await?;
    gateway.sync.choose_strategy(user, None, None).await?;
    gateway.calendars.forget_audit(user).await?;
    Ok(())
}

/// A collection by its id, its path segment.
pub(super) async fn collection(gateway: &Gateway, user: &UserId, name: &str) -> Result<Collection, Failure> {
    let name: CollectionName = name.parse()?;
    let id = CollectionId::new(user, name.clone());
    // Those that everybody has are made by looking at all.
    let all = gateway.calendars.collections(user).await?;
    match all.into_iter().find(|one| one.id == id) {
        Some(found) => Ok(found),
        None => failed(format!("{user} has no calendar {name}; `lineartime source list {user}` lists them")),
    }
}

fn revision(uid: &str, one: &RevisionInfo, devices: &BTreeMap<String, String>) -> Value {
    let (author, by) = named(&one.author, devices);
    json!({
        "id": format!("{}-{}", one.event, one.revision), "uid": uid, "revision": one.revision, "created": one.at,
        "author": author, "by": by, "etag": one.etag, "length": one.length, "current": one.served,
    })
}
