//! Users and their app passwords.

use serde_json::{Value, json};

use super::{Answer, Failure, accounts, events, existing};
use crate::app::Gateway;
use crate::calendar::plain::Plain;
use crate::id::{CollectionId, CollectionName, UserId};
use crate::identity::{AppPasswordId, Scope, User, password};
use crate::vault::Secret;

pub(super) async fn add(gateway: &Gateway, name: &str, admin: bool, password: &Secret) -> Result<Answer, Failure> {
    let id = UserId::parse(name)?;
    gateway.users.add(&id, password, admin).await?;
    let created = gateway.clock.now();
    let text = format!("{id} can sign in now");
    let answer = Answer::saying(record(&User { id: id.clone(), admin, created }), text);
    Ok(warned(answer, password, &id))
}

pub(super) async fn list(gateway: &Gateway) -> Result<Answer, Failure> {
    Ok(Answer::list(gateway.users.list().await?.iter().map(record)))
}

pub(super) async fn passwd(gateway: &Gateway, name: &str, password: &Secret) -> Result<Answer, Failure> {
    let id = existing(gateway, name).await?;
    gateway.users.passwd(&id, password).await?;
    let answer = Answer::saying(json!({ "id": id }), format!("the password of {id} is changed"));
    Ok(warned(answer, password, &id))
}

/// First what the user owns, then the login: whoever comes later under the same name finds nothing.
pub(super) async fn remove(gateway: &Gateway, name: &str) -> Result<Answer, Failure> {
    let id = existing(gateway, name).await?;
    accounts::remove_all(gateway, &id).await?;
    events::remove_all(gateway, &id).await?;
    gateway.calendars.inbox_clear(&id).await?;
    gateway.subscriptions.revoke_all(&id).await?;
    gateway.pushes.forget_user(&id).await?;
    Plain::new(gateway.store.clone(), gateway.clock.clone()).clear(&id).await?;
    gateway.users.remove(&id).await?;
    Ok(Answer::saying(json!({ "id": id }), format!("{id} is removed")))
}

pub(super) async fn app_password_add(
    gateway: &Gateway,
    user: &str,
    label: &str,
    (read_only, collection): (bool, Option<String>),
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let collection = match collection {
        Some(name) => Some(calendar(gateway, &user, &name).await?),
        None => None,
    };
    let scope = Scope { read_only, collection };
    let (id, secret) = gateway.users.app_password_add_within(&user, label, scope.clone()).await?;
    let password = secret.expose_str().unwrap_or_default();
    let document = json!({
        "id": id, "user": user, "label": label.trim(), "password": password,
        "read_only": scope.read_only, "collection": scope.collection,
    });
    Ok(Answer::saying(document, password).note("this password is shown only now"))
}

pub(super) async fn app_password_list(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let list = gateway.users.app_password_list(&user).await?;
    Ok(Answer::list(list.iter().map(|one| {
        json!({
            "id": one.id, "label": one.label, "created": one.created, "last_used": one.last_used,
            "read_only": one.scope.read_only, "collection": one.scope.collection,
        })
    })))
}

/// A calendar of the user's that is there: a password for a misspelt one would open nothing, and nobody would see why.
async fn calendar(gateway: &Gateway, user: &UserId, name: &str) -> Result<CollectionName, Failure> {
    let id = CollectionId::new(user, name.parse()?);
    match gateway.calendars.collection(&id).await? {
        Some(_) => Ok(id.name),
        None => Err(Failure(format!("{user} has no calendar {name}; `lineartime source list {user}` names them"))),
    }
}

pub(super) async fn app_password_revoke(gateway: &Gateway, user: &str, id: String) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let id = AppPasswordId(id);
    gateway.users.app_password_revoke(&user, &id).await?;
    Ok(Answer::saying(json!({ "id": id }), format!("{id} is revoked")))
}

fn record(user: &User) -> Value {
    json!({ "id": user.id, "name": user.id, "admin": user.admin, "created": user.created })
}

fn warned(answer: Answer, password: &Secret, user: &UserId) -> Answer {
    match password::weakness(password, user.as_str()) {
        Some(why) => answer.note(format!("warning: this password is easy to guess: {why}")),
        None => answer,
    }
}
