//! Devices: a password for each, what to type where, and the self-test.

use askama::Template;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderValue};
use http::{Response, StatusCode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::page::{Answer, Page, done, shown, with_type};
use super::request::{Request, Trouble};
use super::selftest::{Inside, Walk, walk_all};
use super::{Desk, Pages, time};
use crate::entropy;
use crate::id::UserId;
use crate::identity::{AppPasswordId, UserError};

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"
<h1>Devices</h1>
<p>Each phone and computer gets a password of its own: one that is lost is taken away here, and the others stay signed in.
Calendar programs can't use your company's sign-in page, so they need one too if you come by that.</p>
{% if !problem.is_empty() %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
{% if let Some(made) = made %}
<section class="card" aria-labelledby="made"><h2 id="made">Password for {{ made.label }}</h2>
<p>It is shown only now. Type it into the device, without anything else around it.</p>
<p class="secret mono" id="secret">{{ made.password }}</p>
<button type="button" data-copy="secret" hidden>Copy</button>
<dl><dt>Server</dt><dd><code>{{ url }}/dav/</code></dd><dt>User name</dt><dd><code>{{ user }}</code></dd></dl>
<div class="grid"><div><h3>The password as a code</h3>{{ made.qr|safe }}</div>
<div><h3>DAVx5 on Android</h3>{{ made.davx5_qr|safe }}<p><a href="{{ made.davx5 }}">Open DAVx5 on this phone</a></p></div></div>
</section>
{% endif %}
<section class="card" aria-labelledby="add"><h2 id="add">Add a device</h2>
<form method="post" action="/devices/add" class="row"><input type="hidden" name="csrf" value="{{ csrf }}">
<div><label for="label">What is it called?</label><input id="label" name="label" value="{{ label }}" placeholder="Ana's phone" required maxlength="100"></div>
<button class="main">Make a password</button>
<button formaction="/devices/mobileconfig">iPhone, iPad, Mac: get a profile</button></form>
<p class="hint">The profile (.mobileconfig) sets up the account by itself. On the iPhone, open this page in Safari, tap the button, then go to Settings → Profile Downloaded → Install.</p></section>
<section><h2>Your devices</h2>
{% if devices.is_empty() %}<p>None yet.</p>{% else %}
<ul class="list">{% for one in devices %}<li><div><strong>{{ one.label }}</strong><br><span class="hint">made {{ one.created }}, last used {{ one.used }}</span></div>
<form method="post" action="/devices/revoke"><input type="hidden" name="csrf" value="{{ csrf }}"><button class="danger" name="id" value="{{ one.id }}">Take away</button></form></li>
{% endfor %}</ul>{% endif %}</section>
<section><h2>How to set it up</h2>
<div class="grid">
<div class="card"><h3>iPhone, iPad, Mac</h3><p>Use the profile above; or Settings → Apps → Calendar → Calendar Accounts → Add Account → Other → CalDAV, with the server <code>{{ host }}</code>, your user name and the device's password.</p></div>
<div class="card"><h3>Android: DAVx5</h3><p>Install DAVx5, scan its code above after making a password, or add an account with base URL <code>{{ url }}/dav/</code>. Tick the calendar <em>Unified</em>.</p></div>
<div class="card"><h3>Thunderbird</h3><ol><li>Calendar → New Calendar → On the Network.</li><li>User name <code>{{ user }}</code>, location <code>{{ url }}/dav/</code>.</li><li>Give the device's password, choose <em>Unified</em>.</li></ol></div>
<div class="card"><h3>Evolution, GNOME, KDE</h3><p>Add a CalDAV calendar with the URL <code>{{ url }}/dav/calendars/{{ user }}/unified/</code>.</p></div>
</div></section>
<section class="card" aria-labelledby="test"><h2 id="test">Self-test</h2>
<p>Walks the way that each client goes to find your calendars, on this server, and says what it would see. From outside also the network, the name and the certificate must be right; the test can't see those.</p>
<form method="post" action="/devices/self-test"><input type="hidden" name="csrf" value="{{ csrf }}"><button class="main">Run the self-test</button></form>
{% for walk in walks %}<h3>{{ walk.client }} {% if walk.is_green() %}<span class="tag good">works</span>{% else %}<span class="tag bad">does not work</span>{% endif %}</h3>
<ol>{% for step in walk.steps %}<li>{% if step.fine %}<span class="tag good">ok</span>{% else %}<span class="tag bad">no</span>{% endif %} {{ step.what }}: {{ step.seen }}</li>{% endfor %}</ol>
{% endfor %}</section>
"##
)]
#[expect(clippy::struct_field_names, reason = "the names of the field's own words")]
struct Devices<'a> {
    problem: &'a str,
    label: &'a str,
    made: Option<&'a Made>,
    url: &'a str,
    host: &'a str,
    user: &'a str,
    devices: Vec<Device>,
    walks: &'a [Walk],
    csrf: String,
}

/// What can be shown once.
pub(super) struct Made {
    label: String,
    password: String,
    qr: String,
    davx5: String,
    davx5_qr: String,
}

struct Device {
    id: String,
    label: String,
    created: String,
    used: String,
}

/// What the page shows besides the list.
#[derive(Default)]
pub(super) struct Told<'a> {
    problem: &'a str,
    label: &'a str,
    made: Option<&'a Made>,
    walks: &'a [Walk],
}

impl Pages {
    /// The page.
    pub(super) async fn devices(&self, desk: &Desk, request: &Request<'_>, told: Option<Told<'_>>) -> Answer {
        let (user, zone) = (request.user()?, time::zone(request));
        let told = told.unwrap_or_default();
        let device = |one: crate::identity::AppPassword| Device {
            id: one.id.0,
            label: shown(&one.label),
            created: time::moment(one.created, &zone),
            used: time::maybe(one.last_used, &zone),
        };
        let url = desk.settings.public_url.as_str();
        let content = Devices {
            problem: told.problem,
            label: told.label,
            made: told.made,
            url,
            host: host(url),
            user: user.as_str(),
            devices: self.users.app_password_list(user).await?.into_iter().map(device).collect(),
            walks: told.walks,
            csrf: request.csrf(),
        };
        let status = if told.problem.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        Page { title: "Devices", here: "/devices", content: &content }.answer(request, status)
    }

    /// What its forms send.
    pub(super) async fn post_devices(&self, desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
        let (user, form) = (request.user()?, request.form());
        match path {
            ["add" | "mobileconfig"] => {
                let label = form.word("label");
                let password = match self.users.app_password_add(user, label).await {
                    Ok((_, password)) => password,
                    Err(UserError::BadLabel) => {
                        let problem = "What is it called? A device's name has 1 to 100 characters.";
                        let told = Told { problem, label, ..Told::default() };
                        return self.devices(desk, request, Some(told)).await;
                    }
                    Err(error) => return Err(error.into()),
                };
                let password = password.expose_str().unwrap_or_default();
                if path == ["mobileconfig"] {
                    return Ok(self.mobileconfig(desk, user, password));
                }
                let made = made(desk, user, label, password);
                self.devices(desk, request, Some(Told { made: Some(&made), ..Told::default() })).await
            }
            ["revoke"] => {
                self.users.app_password_revoke(user, &AppPasswordId(form.get("id").to_owned())).await?;
                done("/devices", "The device's password is taken away; it works no longer.")
            }
            _ => Err(Trouble::NotFound),
        }
    }

    /// Walks discovery with a password that lives for this one test.
    pub(super) async fn self_test(&self, desk: &Desk, request: &Request<'_>, inside: &dyn Inside) -> Answer {
        let user = request.user()?;
        let (id, password) = self.users.app_password_add(user, "self-test").await?;
        let host = host(&desk.settings.public_url);
        let walks = walk_all(inside, host, user.as_str(), password.expose_str().unwrap_or_default()).await;
        self.users.app_password_revoke(user, &id).await?;
        self.devices(desk, request, Some(Told { walks: &walks, ..Told::default() })).await
    }

    /// A profile that sets up the account on Apple's devices.
    fn mobileconfig(&self, desk: &Desk, user: &UserId, password: &str) -> Response<Bytes> {
        let profile = Profile {
            host: host(&desk.settings.public_url).split(':').next().unwrap_or_default(),
            port: port(&desk.settings.public_url),
            tls: desk.settings.public_url.starts_with("https:"),
            principal: format!("/dav/principals/{user}/"),
            user: user.as_str(),
            password,
            outer: uuid(&*self.entropy),
            inner: uuid(&*self.entropy),
        };
        let xml = profile.render().unwrap_or_default();
        let mut response = with_type(StatusCode::OK, "application/x-apple-aspen-config", xml);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let name = HeaderValue::from_static("attachment; filename=\"lineartime.mobileconfig\"");
        headers.insert(CONTENT_DISPOSITION, name);
        response
    }
}

/// Apple's configuration profile with one CalDAV account (`com.apple.caldav.account`).
#[derive(Template)]
#[template(
    ext = "xml",
    escape = "html",
    source = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>lineartime.{{ host }}.{{ outer }}</string>
<key>PayloadUUID</key><string>{{ outer }}</string>
<key>PayloadDisplayName</key><string>LinearTime calendar ({{ user }})</string>
<key>PayloadDescription</key><string>Sets up the calendars of {{ user }} at {{ host }}.</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.caldav.account</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>lineartime.{{ host }}.{{ inner }}</string>
<key>PayloadUUID</key><string>{{ inner }}</string>
<key>PayloadDisplayName</key><string>LinearTime</string>
<key>CalDAVAccountDescription</key><string>LinearTime</string>
<key>CalDAVHostName</key><string>{{ host }}</string>
<key>CalDAVPort</key><integer>{{ port }}</integer>
<key>CalDAVUseSSL</key><{{ tls }}/>
<key>CalDAVPrincipalURL</key><string>{{ principal }}</string>
<key>CalDAVUsername</key><string>{{ user }}</string>
<key>CalDAVPassword</key><string>{{ password }}</string>
</dict></array>
</dict></plist>
"#
)]
struct Profile<'a> {
    host: &'a str,
    port: u16,
    tls: bool,
    principal: String,
    user: &'a str,
    password: &'a str,
    outer: String,
    inner: String,
}

fn made(desk: &Desk, user: &UserId, label: &str, password: &str) -> Made {
    let part = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let place = desk.settings.public_url.split_once("://").map_or("", |(_, place)| place);
    let davx5 = format!("davx5://{}:{}@{place}/dav/", part(user.as_str()), part(password));
    Made {
        label: shown(label),
        password: password.to_owned(),
        qr: qr(password, "The password as a QR code"),
        davx5_qr: qr(&davx5, "A QR code that sets up DAVx5"),
        davx5,
    }
}

/// A QR code as a picture in the page, with words for those who can't see it.
pub(super) fn qr(text: &str, label: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else { return String::new() };
    let picture = code.render::<svg::Color<'_>>().min_dimensions(200, 200).build();
    let picture = picture.split_once("<svg").map_or("", |(_, rest)| rest);
    format!("<svg class=\"qr\" role=\"img\" aria-label=\"{label}\"{picture}")
}

/// The name and the port in an address.
fn host(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.split('/').next().unwrap_or_default()
}

fn port(url: &str) -> u16 {
    let usual = if url.starts_with("https:") { 443 } else { 80 };
    host(url).rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(usual)
}

/// A random UUID (RFC 9562 5.4).
fn uuid(entropy: &dyn entropy::Entropy) -> String {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes);
    let number = (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!((host("https://cal.example.org"), port("https://cal.example.org")), ("cal.example.org", 443));
        assert_eq!((host("http://127.0.0.1:8008/x"), port("http://127.0.0.1:8008/x")), ("127.0.0.1:8008", 8008));
    }

    #[test]
    fn a_uuid_says_that_it_is_random() {
        let made = uuid(&entropy::SeededEntropy::new(1));
        assert_eq!(made.len(), 36);
        assert_eq!(made.chars().nth(14), Some('4'));
        assert!("89AB".contains(made.chars().nth(19).unwrap()));
    }

    #[test]
    fn a_code_is_a_labelled_picture_without_style() {
        let code = qr("secret", "A code");
        assert!(code.starts_with("<svg class=\"qr\" role=\"img\" aria-label=\"A code\"") && code.ends_with("</svg>"));
        assert!(!code.contains("style="));
    }
}
