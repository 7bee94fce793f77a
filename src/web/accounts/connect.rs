//! Connecting an account: the choice of a provider, the form with what it needs, and the same again when its password
//! has changed.

use askama::Template;
use http::StatusCode;

use crate::account::{Account, AccountError, NewCalDav, NewICloud, ProviderKind};
use crate::web::Desk;
use crate::web::page::{Answer, Page, done, shown};
use crate::web::request::{Request, Trouble};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<p><a href="/accounts">Accounts</a></p>
<h1>Connect an account</h1>
<div class="grid">
<section class="card"><h2>Google</h2><p>Google Calendar and Google Workspace, by signing in at Google.</p>
{% if google %}<a class="button main" href="/oauth/google/start">Sign in at Google</a>{% else %}<p class="note">An administrator has to register this server at Google first: <a href="/help/google">how to</a>.</p>{% endif %}</section>
<section class="card"><h2>Microsoft</h2><p>Microsoft 365 and Outlook.com, by signing in at Microsoft.</p>
{% if microsoft %}<a class="button main" href="/oauth/microsoft/start">Sign in at Microsoft</a>{% else %}<p class="note">An administrator has to register this server at Microsoft first: <a href="/help/microsoft">how to</a>.</p>{% endif %}</section>
<section class="card"><h2>iCloud</h2><p>Apple's calendars, with an app-specific password.</p><a class="button main" href="/accounts/new/icloud">Connect iCloud</a></section>
<section class="card"><h2>CalDAV</h2><p>Nextcloud, Fastmail, mailbox.org, Radicale and any other CalDAV server.</p><a class="button main" href="/accounts/new/caldav">Connect a CalDAV server</a></section>
<section class="card"><h2>Subscription</h2><p>A calendar file on the web (ICS, webcal), read only.</p><a class="button main" href="/accounts/new/ics">Subscribe to a calendar</a></section>
</div>
"#
)]
struct Choose {
    google: bool,
    microsoft: bool,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<p><a href="/accounts">Accounts</a></p>
<div class="narrow">
<h1>{{ title }}</h1>
{% if !problem.is_empty() %}<p class="problem" role="alert" id="problem">{{ problem }}</p>{% endif %}
<form method="post" class="card"><input type="hidden" name="csrf" value="{{ csrf }}">
{% if icloud %}<p>Apple asks for an <em>app-specific password</em> here, not for the password of your Apple Account: <a href="/help/icloud">how to make one</a>.</p>{% endif %}
{% if !icloud %}<label for="address">{% if ics %}Address of the calendar{% else %}Address{% endif %}</label>
<input id="address" name="address" value="{{ address }}" required maxlength="2000" spellcheck="false" autocapitalize="none"{% if fixed %} readonly{% endif %}{% if !problem.is_empty() %} aria-describedby="problem"{% endif %}>
<p class="hint">{% if ics %}https:// or webcal://{% else %}Your e-mail address, the server's name, or any https address of it; the rest is found.{% endif %}</p>{% endif %}
{% if !ics %}<label for="username">{% if icloud %}Apple Account (e-mail address){% else %}User name there{% endif %}</label>
<input id="username" name="username" value="{{ username }}" required maxlength="300" autocomplete="off" spellcheck="false" autocapitalize="none"{% if fixed %} readonly{% endif %}>
<label for="password">Password</label>
<input id="password" name="password" type="password" required maxlength="500" autocomplete="off">{% endif %}
{% if !fixed %}<label for="label">Name for it <span class="hint">(optional)</span></label>
<input id="label" name="label" value="{{ label }}" maxlength="100">{% endif %}
<button class="main">{% if fixed %}Sign in again{% else if ics %}Subscribe{% else %}Connect{% endif %}</button>
</form></div>
"#
)]
struct Form<'a> {
    title: &'a str,
    problem: &'a str,
    icloud: bool,
    ics: bool,
    fixed: bool,
    address: &'a str,
    username: &'a str,
    label: &'a str,
    csrf: String,
}

/// Which provider?
pub(super) fn choose(desk: &Desk, request: &Request<'_>) -> Answer {
    let content = Choose { google: desk.settings.google, microsoft: desk.settings.microsoft };
    Page { title: "Connect an account", here: "/accounts", content: &content }.answer(request, StatusCode::OK)
}

fn blank<'a>(request: &Request<'_>, provider: &str) -> Result<Form<'a>, Trouble> {
    let title = match provider {
        "icloud" => "Connect iCloud",
        "caldav" => "Connect a CalDAV server",
        "ics" => "Subscribe to a calendar",
        _ => return Err(Trouble::NotFound),
    };
    let (icloud, ics, csrf) = (provider == "icloud", provider == "ics", request.csrf());
    Ok(Form { title, problem: "", icloud, ics, fixed: false, address: "", username: "", label: "", csrf })
}

fn answer(request: &Request<'_>, content: &Form<'_>) -> Answer {
    let status = if content.problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Page { title: content.title, here: "/accounts", content }.answer(request, status)
}

/// What it needs.
pub(super) fn form(_: &Desk, request: &Request<'_>, provider: &str) -> Answer {
    answer(request, &blank(request, provider)?)
}

/// Finds the calendars and begins to read them. What is wrong is told beside what was typed.
pub(super) async fn connect(desk: &Desk, request: &Request<'_>, provider: &str) -> Answer {
    let (user, form) = (request.user()?, request.form());
    let label = Some(form.word("label").to_owned()).filter(|label| !label.is_empty());
    let (username, password) = (form.word("username").to_owned(), form.secret("password"));
    let connected = match provider {
        "caldav" => {
            let address = form.word("address").to_owned();
            desk.accounts.add_caldav(user, NewCalDav { label, address, username, password }).await
        }
        "icloud" => {
            let label = label.or_else(|| Some("iCloud".to_owned()));
            desk.accounts.add_icloud(user, NewICloud { label, username, password }).await
        }
        "ics" => desk.accounts.add_feed(user, form.word("address"), label.as_deref()).await,
        _ => return Err(Trouble::NotFound),
    };
    match connected {
        Ok(account) => {
            desk.sync.attend(&account.id).await?;
            let count = desk.accounts.sources_of(&account).await?.len();
            done(
                "/accounts",
                &format!(
                    "{} is connected, with {count} calendar{}. Events are coming in.",
                    account.label,
                    if count == 1 { "" } else { "s" }
                ),
            )
        }
        Err(AccountError::Store(error)) => Err(Trouble::later(error)),
        Err(error) => {
            let problem = format!("{}: {error}.", field(&error));
            let (address, username, label) = (form.get("address"), form.get("username"), form.get("label"));
            answer(request, &Form { problem: &shown(&problem), address, username, label, ..blank(request, provider)? })
        }
    }
}

/// The field that an error is about.
fn field(error: &AccountError) -> &'static str {
    match error {
        AccountError::BadLabel | AccountError::LabelTaken(_) => "Name for it",
        AccountError::AppPassword => "Password",
        _ => "Address",
    }
}

/// A new password for an account, or a new sign-in at its provider.
pub(super) async fn again(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let account = super::own(desk, request.user()?, id).await?;
    match account.provider.name() {
        "google" => crate::web::page::go("/oauth/google/start", "", ""),
        "microsoft" => crate::web::page::go("/oauth/microsoft/start", "", ""),
        _ => {
            let title = format!("Sign in again: {}", account.label);
            let (address, username) = login(&account);
            answer(request, &Form { title: &title, fixed: true, address, username, ..blank(request, "caldav")? })
        }
    }
}

pub(super) async fn reconnect(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let account = super::own(desk, request.user()?, id).await?;
    match desk.accounts.sign_in(&account.id, &request.form().secret("password")).await {
        Ok(account) => {
            desk.sync.attend(&account.id).await?;
            done("/accounts", &format!("{} is signed in again.", account.label))
        }
        Err(AccountError::Store(error)) => Err(Trouble::later(error)),
        Err(error) => {
            let title = format!("Sign in again: {}", account.label);
            let (address, username) = login(&account);
            let problem = shown(&format!("Password: {error}."));
            let form =
                Form { title: &title, problem: &problem, fixed: true, address, username, ..blank(request, "caldav")? };
            answer(request, &form)
        }
    }
}

/// What the person gave when they connected it.
fn login(account: &Account) -> (&str, &str) {
    let address = match &account.provider {
        ProviderKind::CalDav { given, .. } => given,
        _ => ICLOUD,
    };
    (address, account.provider.username().unwrap_or_default())
}

const ICLOUD: &str = "https://caldav.icloud.com";
