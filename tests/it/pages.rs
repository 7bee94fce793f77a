//! The pages as a browser asks for them: sessions, forms, and text that would like to be markup.

use crate::caldav::{Answer, Server, event};

/// A browser that keeps its cookie.
struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl<'a> Browser<'a> {
    /// Signed in as ana.
    async fn of(server: &'a Server) -> Self {
        let answer =
            server.raw("POST", "/sign-in", &[FORM], "user=ana&password=correct+horse&to=/accounts").await.is(303);
        assert_eq!(answer.header("location"), "/accounts");
        let cookie = answer.header("set-cookie");
        for part in ["lt_session=", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        Self { server, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.raw("GET", path, &[("cookie", &self.cookie)], "").await
    }

    /// A form of ours, with the token that the page had.
    async fn post(&self, path: &str, form: &str) -> Answer {
        let page = self.get("/me").await.is(200);
        let token = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let form = format!("csrf={token}&{form}");
        self.server.raw("POST", path, &[("cookie", &self.cookie), FORM], &form).await
    }
}

const PAGES: &[&str] = &[
    "/calendar",
    "/calendar/year/2026",
    "/calendar/month/2026-03",
    "/calendar/week/2026-03-02",
    "/calendar/agenda/2026-03-01",
    "/calendar/day/2026-03-10",
    "/event/new",
    "/accounts",
    "/accounts/new",
    "/accounts/new/caldav",
    "/accounts/new/icloud",
    "/accounts/calendar/local",
    "/devices",
    "/sharing",
    "/find-a-time",
    "/conflicts",
    "/history",
    "/queue",
    "/audit",
    "/admin",
    "/me",
    "/help",
    "/help/google",
    "/help/proxy",
];

#[tokio::test]
async fn every_page_is_small_safe_and_for_its_owner() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    for path in PAGES {
        let page =
            ana.get(path).await.is(200).has("<!doctype html>").lacks("style=").lacks("<script>").lacks("onclick");
        assert!(page.body.len() < 100_000, "{path}: {}", page.body.len());
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "no-store");
        if !path.starts_with("/help") {
            let stranger = server.raw("GET", path, &[], "").await.is(303);
            assert!(stranger.header("location").starts_with("/sign-in"), "{path}");
        }
    }
    for path in
        ["/calendar/year/x", "/event/unified/none.ics", "/accounts/a-none/remove", "/conflicts/12", "/help/none"]
    {
        ana.get(path).await.is(404).has("There is nothing here");
    }
    server.raw("GET", "/accounts", &[("cookie", "lt_session=made-up")], "").await.is(303);
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    let cookie = ("cookie", ana.cookie.as_str());
    let label = "label=phone";
    server.raw("POST", "/devices/add", &[cookie, FORM], label).await.is(403);
    let other = Browser::of(&server).await;
    let page = other.get("/me").await;
    let token = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    server.raw("POST", "/devices/add", &[cookie, FORM], &format!("csrf={token}&{label}")).await.is(403);
    let page = ana.get("/me").await;
    let token = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("csrf={token}&{label}");
    let from = |name, value| [cookie, FORM, (name, value)];
    server.raw("POST", "/devices/add", &from("origin", "https://evil.example"), &form).await.is(403);
    server.raw("POST", "/devices/add", &from("sec-fetch-site", "cross-site"), &form).await.is(403);
    server.raw("POST", "/sign-in", &[FORM, ("origin", "https://evil.example")], "user=ana").await.is(403);
    ana.get("/devices").await.is(200).has("None yet");
    server.raw("POST", "/devices/add", &from("sec-fetch-site", "same-origin"), &form).await.is(200).has("lt-");
}

#[tokio::test]
async fn sign_in_is_throttled_and_sessions_end() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    for _ in 0..5 {
        let wrong = server.raw("POST", "/sign-in", &[FORM], "user=ana&password=wrong").await.is(422);
        assert!(wrong.body.contains("value=\"ana\"") && !wrong.body.contains("value=\"wrong\""));
    }
    server.raw("POST", "/sign-in", &[FORM], "user=ana&password=wrong").await.is(429);
    let away =
        server.raw("POST", "/sign-in", &[FORM], "user=ana&password=correct+horse&to=//evil.example").await.is(303);
    assert_eq!(away.header("location"), "/");
    let device = ana.post("/devices/add", "label=phone").await.is(200);
    let secret = device.body.split("id=\"secret\">").nth(1).unwrap().split('<').next().unwrap();
    let by_device = format!("user=ana&password={secret}");
    server.raw("POST", "/sign-in", &[FORM], &by_device).await.is(403).has("password of a device");
    let second = Browser { server: &server, cookie: away.header("set-cookie").split(';').next().unwrap().to_owned() };
    second.get("/accounts").await.is(200);
    ana.post("/me/sessions", "others=1").await.is(303);
    second.get("/accounts").await.is(303);
    ana.post("/sign-out", "").await.is(303);
    ana.get("/accounts").await.is(303);
    server.from("203.0.113.9:1", "POST", "/sign-in", &[FORM], "user=ana&password=correct+horse").await.is(403);
}

#[tokio::test]
async fn text_of_events_stays_text() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    let nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>\\, \u{202e}\"'&lt\\;";
    let body = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:n\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART;VALUE=DATE:20260310\r\nSUMMARY:{nasty}\r\nLOCATION:{nasty}\r\nDESCRIPTION:{nasty}\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    server.put("n.ics", &body).await;
    let paths = [
        "/calendar/year/2026",
        "/calendar/month/2026-03",
        "/calendar/week/2026-03-10",
        "/calendar/agenda/2026-03-10",
        "/event/unified/n.ics",
        "/history",
        "/audit",
    ];
    for path in paths {
        let page = ana.get(path).await.is(200).lacks("<script>").lacks("<img src=x").lacks("\u{202e}");
        assert!(page.body.contains("script&") || page.body.contains("&#60;script"), "{path}");
    }
}

#[tokio::test]
async fn events_are_made_changed_and_deleted_and_the_wrong_field_is_named() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    let form = |title: &str, to: &str| {
        format!(
            "title={title}&from_day=2026-03-10&from_time=09:00&to_day=2026-03-10&to_time={to}&repeat=daily&calendar=unified"
        )
    };
    let wrong = ana.post("/event/new", &form("Tea", "08:00")).await.is(422).has("End: ").has("value=\"Tea\"");
    assert!(wrong.body.contains("role=\"alert\""));
    ana.post("/event/new", &form("Tea", "10:00")).await.is(303);
    let day = ana.get("/calendar/day/2026-03-12").await.is(200).has("Tea");
    let href = day.body.split("href=\"/event/unified").nth(1).unwrap().split('"').next().unwrap();
    let href = format!("/event/unified{href}");
    let page = ana.get(&href).await.is(200).has("every day").has("Where it lives");
    let field = |name: &str| {
        page.body.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let (at, etag) = (field("at"), field("etag"));
    let (path, _) = href.split_once('?').unwrap();
    let change = format!(
        "at={at}&etag={etag}&scope=this&do=save&title=Coffee&from_day=2026-03-12&from_time=11:00&to_day=2026-03-12&\
         to_time=12:00&repeat=keep&calendar=local"
    );
    ana.post(path, &change).await.is(303);
    ana.get("/calendar/day/2026-03-12").await.is(200).has("Coffee").has("11:00").lacks("Tea");
    ana.get("/calendar/day/2026-03-13").await.is(200).has("Tea").lacks("Coffee");
    ana.post(path, &change).await.is(422).has("Somebody else");
    let page = ana.get(&href).await.is(200);
    let etag = page.body.split("name=\"etag\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    ana.post(path, &format!("at={at}&etag={etag}&scope=all&do=delete")).await.is(303);
    ana.get("/calendar/day/2026-03-13").await.is(200).lacks("Tea");
    ana.get("/history").await.is(200).has("Bring back");
}

#[tokio::test]
async fn the_self_test_walks_to_the_unified_calendar() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    let page = ana.post("/devices/self-test", "").await.is(200).lacks("does not work");
    assert_eq!(page.body.matches(">works<").count(), 3, "{}", page.body);
    ana.get("/devices").await.is(200).has("None yet");
}

#[tokio::test]
async fn a_profile_for_apple_holds_the_account() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    let profile = ana.post("/devices/mobileconfig", "label=iPhone").await.is(200).has("com.apple.caldav.account");
    assert_eq!(profile.header("content-type"), "application/x-apple-aspen-config");
    assert!(profile.body.contains("<string>/dav/principals/ana/</string>") && profile.body.contains("<string>lt-"));
}

#[tokio::test]
async fn people_are_managed_by_administrators_alone() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    ana.post("/admin/add", "user=cid&password=cid").await.is(422).has("First password").has("value=\"cid\"");
    ana.post("/admin/add", "user=cid&password=tall+blue+ladder+41").await.is(303);
    let answer = server.raw("POST", "/sign-in", &[FORM], "user=cid&password=tall+blue+ladder+41").await.is(303);
    let cid = Browser { server: &server, cookie: answer.header("set-cookie").split(';').next().unwrap().to_owned() };
    cid.get("/admin").await.is(403);
    cid.post("/admin/add", "user=dan&password=tall+blue+ladder+41").await.is(403);
    cid.get("/event/unified/n.ics").await.is(404);
}

#[tokio::test]
async fn a_feed_is_made_shows_what_it_may_and_is_revoked() {
    let server = Server::start().await;
    let ana = Browser::of(&server).await;
    server.put("n.ics", &event("n", "20260310T090000Z", "Secret talk")).await;
    ana.post("/sharing/add", "name=&detail=busy").await.is(422).has("Name: ");
    ana.post("/sharing/add", "name=x&detail=busy&past=many").await.is(422).has("Days back: ");
    ana.post("/sharing/add", "name=x&source=s-foreign").await.is(422).has("not yours");
    let made = ana.post("/sharing/add", "name=Work&detail=busy").await.is(200).has("webcal://");
    let url = made.body.split("id=\"address\">").nth(1).unwrap().split('<').next().unwrap();
    let path = url.split("8008").nth(1).unwrap();
    server.raw("GET", path, &[], "").await.is(200).has("BEGIN:VEVENT").lacks("Secret talk");
    let page = ana.get("/sharing").await.is(200).has("Work").has("busy only");
    let id = page.body.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    ana.post("/sharing/revoke", &format!("id={id}")).await.is(303);
    server.raw("GET", path, &[], "").await.is(410);
}
