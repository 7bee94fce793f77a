//! Connecting accounts that sign in on their provider's own page.

use serde_json::json;

use super::accounts::connected;
use super::{Answer, Failure, existing};
use crate::account::oauth::{NewSignIn, OAuthService};
use crate::app::Gateway;
use crate::oauth;
use crate::vault::Secret;

/// By which way.
pub(super) struct Way {
    pub(super) device: bool,
    pub(super) label: Option<String>,
    pub(super) redirect: Option<String>,
}

pub(super) async fn add_token(
    gateway: &Gateway,
    user: &str,
    service: OAuthService,
    (token, label): (&Secret, Option<&str>),
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = gateway.accounts.add_refresh_token(&user, service, token, label).await?;
    connected(gateway, &account).await
}

pub(super) async fn begin(gateway: &Gateway, user: &str, service: OAuthService, way: Way) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    if way.device {
        let prompt = gateway.accounts.begin_device(&user, service, way.label).await?;
        let text = format!("Open {} and type {}", prompt.page, prompt.code);
        return Ok(Answer::saying(json!({ "id": prompt.id, "code": prompt.code, "page": prompt.page }), text));
    }
    let usual = || oauth::redirect(&gateway.config.server.public_url, service);
    let new = NewSignIn {
        user: &user,
        service,
        redirect: way.redirect.unwrap_or_else(usual),
        browser: None,
        label: way.label,
    };
    let begun = gateway.accounts.begin_sign_in(new).await?;
    Ok(Answer::saying(json!({ "id": begun.id, "link": begun.link }), begun.link.to_string()))
}

pub(super) async fn answer(gateway: &Gateway, answer: &Secret) -> Result<Answer, Failure> {
    let answer = answer.expose_str().unwrap_or_default();
    let account = gateway.accounts.finish_sign_in(answer, None).await?;
    Ok(Answer::of(json!({ "id": account.id })))
}

pub(super) async fn wait(gateway: &Gateway, id: &str, device: bool) -> Result<Answer, Failure> {
    let account =
        if device { gateway.accounts.await_device(id).await? } else { gateway.accounts.await_sign_in(id).await? };
    connected(gateway, &account).await
}
