//! The services behind OAuth accounts, from the configuration.
//!
//! An address that the administrator has set is gone to as it is, into the own network and over http too. Everything
//! else, above all what people type, stays behind the egress guard.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::account::oauth::{App, OAuthService};
use crate::account::{GoogleService, ICloudService, MicrosoftService, Services};
use crate::cli::admin::Failure;
use crate::config::{Config, Google, ICloud, Microsoft};
use crate::identity::Users;
use crate::identity::oidc::{self, Oidc};
use crate::transport::{HttpTransport, Outfit, PrivateAddresses, Transport};

/// The services that are configured.
pub(super) fn services(config: &Config, guarded: &Arc<dyn Transport>) -> Result<Services, Failure> {
    let providers = &config.providers;
    Ok(Services {
        google: google(&providers.google, guarded)?,
        microsoft: microsoft(&providers.microsoft, guarded)?,
        icloud: icloud(&providers.icloud, guarded)?,
    })
}

/// What connections outwards are made with.
pub(super) fn outfit(config: &Config) -> Result<Outfit, Failure> {
    let tls = &config.providers.tls;
    let read = |path: &PathBuf| {
        fs::read(path)
            .map_err(|error| Failure(format!("{}, which providers.tls names, can't be read: {error}", path.display())))
    };
    let certificate = match (&tls.client_cert, &tls.client_key) {
        (Some(cert), Some(key)) => {
            Some(([read(cert)?, b"\n".to_vec(), read(key)?].concat(), tls.client_cert_hosts.clone()))
        }
        _ => None,
    };
    Ok(Outfit {
        authorities: tls.ca_file.as_ref().map(read).transpose()?,
        certificate,
        http1_only: tls.http1_only,
        max_body: config.limits.max_upstream_body,
    })
}

/// The company's own service for signing in, if one is configured.
pub(super) fn oidc(config: &Config, users: &Arc<Users>, guarded: &Arc<dyn Transport>) -> Result<Option<Oidc>, Failure> {
    let oidc = &config.oidc;
    let (Some(issuer), Some(client_id)) = (oidc.issuer.clone(), oidc.client_id.clone()) else { return Ok(None) };
    let named = HttpTransport::with(PrivateAddresses::Allow, &outfit(config)?).map_err(Failure)?;
    let settings = oidc::Settings {
        issuer,
        client_id,
        client_secret: oidc.client_secret.clone(),
        name: oidc.name.clone(),
        scopes: oidc.scopes.clone(),
        user_claim: oidc.user_claim.clone(),
        groups_claim: oidc.groups_claim.clone(),
        rules: oidc::Rules {
            allowed_groups: oidc.allowed_groups.clone(),
            admin_groups: oidc.admin_groups.iter().chain(&oidc.admin_group).cloned().collect(),
            create_users: oidc.create_users,
        },
        redirect: format!("{}/oauth/oidc/callback", config.server.public_url.as_str().trim_end_matches('/')),
    };
    let ways = oidc::Ways { named: Arc::new(named), guarded: guarded.clone() };
    Ok(Some(Oidc::new(settings, users.clone(), ways)))
}

fn icloud(config: &ICloud, guarded: &Arc<dyn Transport>) -> Result<Option<ICloudService>, Failure> {
    let Some(url) = config.url.clone() else { return Ok(None) };
    Ok(Some(ICloudService { url, transport: way(true, guarded)? }))
}

fn google(config: &Google, guarded: &Arc<dyn Transport>) -> Result<Option<GoogleService>, Failure> {
    let Some(client_id) = config.client_id.clone() else { return Ok(None) };
    let set = [&config.auth_url, &config.token_url, &config.revoke_url, &config.api_url];
    let transport = way(set.into_iter().any(Option::is_some), guarded)?;
    let scope = |name: &str| format!("https://www.googleapis.com/auth/{name}");
    let app = App {
        service: OAuthService::Google,
        client_id,
        client_secret: config.client_secret.clone(),
        auth_url: or(config.auth_url.as_ref(), "https://accounts.google.com/o/oauth2/v2/auth")?,
        token_url: or(config.token_url.as_ref(), "https://oauth2.googleapis.com/token")?,
        revoke_url: Some(or(config.revoke_url.as_ref(), "https://oauth2.googleapis.com/revoke")?),
        device_url: None,
        scopes: vec![scope("calendar.events"), scope("calendar.calendarlist.readonly")],
        needed: vec![
            (scope("calendar.events"), "see and change events"),
            (scope("calendar.calendarlist.readonly"), "see the list of calendars"),
        ],
        // A refresh token comes at the first consent alone, so the consent is asked for again.
        parameters: vec![("access_type", "offline"), ("prompt", "consent"), ("include_granted_scopes", "true")],
        transport: transport.clone(),
    };
    let api = or(config.api_url.as_ref(), "https://www.googleapis.com/calendar/v3")?;
    Ok(Some(GoogleService { app, api, transport }))
}

fn microsoft(config: &Microsoft, guarded: &Arc<dyn Transport>) -> Result<Option<MicrosoftService>, Failure> {
    let Some(client_id) = config.client_id.clone() else { return Ok(None) };
    let transport = way(config.authority_url.is_some() || config.api_url.is_some(), guarded)?;
    let authority = or(config.authority_url.as_ref(), "https://login.microsoftonline.com")?;
    let tenant = config.tenant.clone();
    let at = |end: &str| {
        Url::parse(&format!("{}/{tenant}/oauth2/v2.0/{end}", authority.as_str().trim_end_matches('/')))
            .map_err(|_| Failure(format!("providers.microsoft.tenant {tenant:?} makes no address")))
    };
    let app = App {
        service: OAuthService::Microsoft,
        client_id,
        client_secret: config.client_secret.clone(),
        auth_url: at("authorize")?,
        token_url: at("token")?,
        revoke_url: None,
        device_url: Some(at("devicecode")?),
        scopes: ["offline_access", "Calendars.ReadWrite", "Calendars.ReadWrite.Shared", "User.Read"]
            .map(str::to_owned)
            .to_vec(),
        needed: vec![("Calendars.ReadWrite".to_owned(), "see and change calendars")],
        parameters: Vec::new(),
        transport: transport.clone(),
    };
    let api = or(config.api_url.as_ref(), "https://graph.microsoft.com/v1.0")?;
    Ok(Some(MicrosoftService { app, api, tenant, transport }))
}

fn way(is_set: bool, guarded: &Arc<dyn Transport>) -> Result<Arc<dyn Transport>, Failure> {
    if is_set {
        return Ok(Arc::new(HttpTransport::new(PrivateAddresses::Allow).map_err(Failure)?));
    }
    Ok(guarded.clone())
}

fn or(set: Option<&Url>, usual: &str) -> Result<Url, Failure> {
    match set {
        Some(url) => Ok(url.clone()),
        None => Ok(Url::parse(usual)?),
    }
}
