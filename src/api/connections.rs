//! What connects a person with the rest of the world: their accounts, and the passwords of their devices.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, Problem, Request, empty, json as answer};
use crate::identity::{AppPasswordId, UserError};
use crate::sync::AccountStatus;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAppPassword {
    label: String,
}

impl Api {
    pub(super) async fn accounts(&self, request: &Request<'_>) -> Answer {
        let user = &request.who.user;
        let status = self.parts.sync.status(Some(user)).await.map_err(Problem::internal)?;
        let accounts = self.parts.accounts.list(user).await.map_err(Problem::internal)?;
        let records = accounts.iter().map(|account| {
            let standing = status.accounts.iter().find(|one| one.id == account.id);
            let mut record = standing.map_or_else(|| json!({ "id": account.id }), account_record);
            if let Some(fields) = record.as_object_mut() {
                fields.insert("created".to_owned(), json!(account.created));
                fields.insert("username".to_owned(), json!(account.provider.username()));
            }
            record
        });
        Ok(answer(StatusCode::OK, &records.collect::<Vec<_>>()))
    }

    pub(super) async fn app_passwords(&self, request: &Request<'_>) -> Answer {
        let list = self.parts.users.app_password_list(&request.who.user).await.map_err(of_user)?;
        let records = list
            .iter()
            .map(|one| json!({ "id": one.id, "label": one.label, "created": one.created, "last_used": one.last_used }));
        Ok(answer(StatusCode::OK, &records.collect::<Vec<_>>()))
    }

    /// The password is in this answer and never again.
    pub(super) async fn add_app_password(&self, request: &Request<'_>) -> Answer {
        let new: NewAppPassword = request.read()?;
        let made = self.parts.users.app_password_add(&request.who.user, &new.label).await;
        let (id, secret) = made.map_err(of_user)?;
        let password = secret.expose_str().unwrap_or_default();
        Ok(answer(StatusCode::CREATED, &json!({ "id": id, "label": new.label.trim(), "password": password })))
    }

    pub(super) async fn revoke_app_password(&self, request: &Request<'_>, id: &str) -> Answer {
        let id = AppPasswordId(id.to_owned());
        self.parts.users.app_password_revoke(&request.who.user, &id).await.map_err(of_user)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

/// How an account fares.
pub(super) fn account_record(one: &AccountStatus) -> Value {
    json!({
        "id": one.id, "label": one.label, "provider": one.provider, "state": one.state.as_str(), "reason": one.reason,
        "last_success": one.last_success, "next_run": one.next_run, "queue": one.queue, "error_rate": one.error_rate,
    })
}

fn of_user(error: UserError) -> Problem {
    match error {
        UserError::BadLabel => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("label: {error}")),
        UserError::NoAppPassword(_) => Problem::not_found("There is no such app password."),
        error => Problem::internal(error),
    }
}
