//! Which resource a request is for, and which methods it takes: two matches, no framework.
//!
//! A path that could be read in two ways is refused here for every route (`caldav::path::segments`).

use http::{Method, Uri};

use crate::account::oauth::OAuthService;
use crate::caldav::path::{BadPath, Path, segments};
use crate::feed::Format;
use crate::web::Pages;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`: the web page, and the DAV root for clients that start there.
    Front,
    /// `/.well-known/caldav` (RFC 6764 5).
    WellKnown,
    /// `/dav/compliance`: what is spoken here.
    Compliance,
    /// `/dav/...`; `None` where no resource can stand.
    Dav(Option<Path>),
    /// `/api/v1/...`: the segments behind that.
    Api(Vec<String>),
    /// `/feeds/{token}.ics` and `.json`.
    Feed(String, Format),
    /// Any other page, by the segments of its path.
    Page(Vec<String>),
    /// `/oauth/{service}/start`: a browser goes to a provider to connect an account.
    OAuthStart(OAuthService),
    /// `/oauth/{service}/callback`: and comes back.
    OAuthCallback(OAuthService),
    /// `/api/webhooks/google`: Google says that something has changed.
    GoogleHook,
    /// `/api/webhooks/microsoft`: Graph says so, or asks whether it may.
    MicrosoftHook,
    /// `/healthz`: the process answers.
    Health,
    /// `/readyz`: and can work.
    Ready,
    /// `/metrics`.
    Metrics,
    /// Nothing.
    Nowhere,
}

impl Route {
    /// Reads the request target. `*` is what OPTIONS may ask of the server as a whole.
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, BadPath> {
        let path = uri.path();
        if path == "*" && method == Method::OPTIONS {
            return Ok(Self::Dav(Some(Path::Root)));
        }
        let segments = segments(path)?;
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match parts.as_slice() {
            [] if is_dav_method(method) => Self::Dav(Some(Path::Root)),
            [] => Self::Front,
            [".well-known", "caldav"] => Self::WellKnown,
            ["dav", "compliance"] => Self::Compliance,
            ["dav", ..] => Self::Dav(Path::from_segments(segments.get(1..).unwrap_or_default())),
            ["api", "v1", ..] => Self::Api(segments.get(2..).unwrap_or_default().to_vec()),
            ["feeds", name] => match name.rsplit_once('.') {
                Some((token, "ics")) => Self::Feed(token.to_owned(), Format::Ics),
                Some((token, "json")) => Self::Feed(token.to_owned(), Format::Json),
                _ => Self::Nowhere,
            },
            ["oauth", "oidc", ..] if Pages::owns(&segments) => Self::Page(segments),
            ["oauth", service, "start"] => OAuthService::named(service).map_or(Self::Nowhere, Self::OAuthStart),
            ["oauth", service, "callback"] => OAuthService::named(service).map_or(Self::Nowhere, Self::OAuthCallback),
            ["api", "webhooks", "google"] => Self::GoogleHook,
            ["api", "webhooks", "microsoft"] => Self::MicrosoftHook,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            _ if Pages::owns(&segments) => Self::Page(segments),
            _ => Self::Nowhere,
        })
    }

    /// Its word in logs and metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Front | Self::Page(_) => "web",
            Self::WellKnown => "well-known",
            Self::Dav(_) | Self::Compliance => "dav",
            Self::Api(_) => "api",
            Self::Feed(..) => "feed",
            Self::Health | Self::Ready | Self::Metrics => "health",
            Self::OAuthStart(_) | Self::OAuthCallback(_) => "oauth",
            Self::GoogleHook | Self::MicrosoftHook => "webhook",
            Self::Nowhere => "nowhere",
        }
    }

    /// The methods it takes, as the Allow field lists them; `None` for any.
    pub(super) fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Dav(path) => Some(path.as_ref().map_or(DAV_ANY, dav_allow)),
            Self::Front => Some("OPTIONS, GET, HEAD, PROPFIND, REPORT"),
            Self::Compliance | Self::Feed(..) | Self::Health | Self::Ready | Self::Metrics => Some("GET, HEAD"),
            Self::Api(_) => Some("OPTIONS, GET, HEAD, POST, PATCH, DELETE"),
            Self::Page(_) => Some("GET, HEAD, POST"),
            Self::OAuthStart(_) | Self::OAuthCallback(_) => Some("GET"),
            Self::GoogleHook | Self::MicrosoftHook => Some("POST"),
            Self::WellKnown | Self::Nowhere => None,
        }
    }

    /// Whether it takes `method`.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.allow().is_none_or(|allow| allow.split(", ").any(|allowed| allowed == method.as_str()))
    }
}

/// The methods of a DAV resource by its kind. What a place could hold counts, not what it holds.
fn dav_allow(path: &Path) -> &'static str {
    match path {
        Path::Root | Path::Principals | Path::Homes => "OPTIONS, GET, HEAD, PROPFIND, REPORT",
        Path::Principal(_) | Path::Inbox(_) | Path::Home(_) => "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT, ACL",
        Path::Outbox(_) => "OPTIONS, GET, HEAD, POST, PROPFIND, PROPPATCH, REPORT, ACL",
        Path::Registration(..) => "OPTIONS, DELETE",
        Path::Calendar(_) => {
            "OPTIONS, GET, HEAD, POST, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT, ACL, MKCALENDAR, MKCOL"
        }
        Path::Object(_) => DAV_ANY,
        Path::Message(..) => "OPTIONS, GET, HEAD, DELETE, PROPFIND, REPORT",
        Path::Plain(..) => "OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, MKCOL",
    }
}

fn is_dav_method(method: &Method) -> bool {
    matches!(method.as_str(), "OPTIONS" | "PROPFIND" | "REPORT")
}

const DAV_ANY: &str =
    "OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, REPORT, ACL, MKCALENDAR, MKCOL";

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Result<Route, BadPath> {
        Route::of(&method.parse().unwrap(), &path.parse().unwrap())
    }

    #[test]
    fn every_request_has_one_place_to_go() {
        let cases = [
            ("GET", "/", Route::Front),
            ("PROPFIND", "/", Route::Dav(Some(Path::Root))),
            ("OPTIONS", "/", Route::Dav(Some(Path::Root))),
            ("OPTIONS", "*", Route::Dav(Some(Path::Root))),
            ("PROPFIND", "/.well-known/caldav", Route::WellKnown),
            ("GET", "/.well-known/caldav/", Route::WellKnown),
            ("PROPFIND", "/dav", Route::Dav(Some(Path::Root))),
            ("GET", "/dav/compliance", Route::Compliance),
            ("PROPFIND", "/dav/nothing/here", Route::Dav(None)),
            ("GET", "/feeds/abc.ics", Route::Feed("abc".into(), Format::Ics)),
            ("GET", "/feeds/abc.json", Route::Feed("abc".into(), Format::Json)),
            ("GET", "/feeds/abc", Route::Nowhere),
            ("GET", "/api/v1/events/a_b", Route::Api(vec!["events".into(), "a_b".into()])),
            ("POST", "/api/webhooks/other", Route::Nowhere),
            ("GET", "/setup/abc", Route::Page(vec!["setup".into(), "abc".into()])),
            ("GET", "/oauth/google/callback", Route::OAuthCallback(OAuthService::Google)),
            ("GET", "/oauth/oidc/callback", Route::Page(["oauth", "oidc", "callback"].map(Into::into).to_vec())),
            ("GET", "/oauth/oidc/elsewhere", Route::Nowhere),
            ("GET", "/oauth/other/start", Route::Nowhere),
            ("POST", "/api/webhooks/google", Route::GoogleHook),
            ("POST", "/api/webhooks/microsoft", Route::MicrosoftHook),
            ("GET", "/healthz", Route::Health),
            ("GET", "/readyz", Route::Ready),
            ("GET", "/metrics", Route::Metrics),
            ("PROPFIND", "/principals/", Route::Nowhere),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(method, path).unwrap(), expected, "{method} {path}");
        }
        for bad in ["//", "/dav/../x", "/dav/%00", "/dav//x", "/healthz/..%2f"] {
            assert!(route("GET", bad).is_err(), "{bad}");
        }
        assert!(route("GET", "*").is_err());
    }

    #[test]
    fn methods_are_taken_by_kind_of_place() {
        let takes = |method: &str, path: &str| {
            let method: Method = method.parse().unwrap();
            Route::of(&method, &path.parse().unwrap()).unwrap().takes(&method)
        };
        assert!(takes("PUT", "/dav/calendars/ana/unified/a.ics"));
        assert!(!takes("PUT", "/dav/calendars/ana/unified/"));
        assert!(!takes("LOCK", "/dav/calendars/ana/unified/a.ics"));
        assert!(!takes("get", "/dav/"));
        assert!(!takes("FOO", "/dav/calendars/ana/unified/a.ics"));
        assert!(takes("POST", "/dav/calendars/ana/outbox/"));
        assert!(!takes("POST", "/dav/calendars/ana/inbox/"));
        assert!(!takes("DELETE", "/dav/principals/ana/"));
        assert!(!takes("POST", "/healthz"));
        assert!(takes("BREW", "/.well-known/caldav"));
    }
}
