//! `WebDAV-Push` as `DAVx5` uses it, with a push service that keeps what it gets and a client that decrypts it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use web_push_native::p256::SecretKey;
use web_push_native::p256::ecdsa::signature::Verifier as _;
use web_push_native::p256::ecdsa::{Signature, VerifyingKey};
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint as _;
use web_push_native::{Auth, decrypt};

use super::*;

const AUTH: [u8; 16] = *b"sixteen octets!!";

fn device() -> SecretKey {
    SecretKey::from_slice(&[7; 32]).unwrap()
}

fn public() -> String {
    URL_SAFE_NO_PAD.encode(device().public_key().to_encoded_point(false).as_bytes())
}

fn register(triggers: &str) -> String {
    let (key, auth) = (public(), URL_SAFE_NO_PAD.encode(AUTH));
    format!(
        "<push-register xmlns=\"https://bitfire.at/webdav-push\" xmlns:D=\"DAV:\"><subscription><web-push-subscription>\
         <push-resource>https://up.example.net/yohd4yai5Phiz1wi</push-resource>\
         <content-encoding>aes128gcm</content-encoding>\
         <subscription-public-key type=\"p256dh\">{key}</subscription-public-key>\
         <auth-secret>{auth}</auth-secret></web-push-subscription></subscription><trigger>{triggers}</trigger>\
         <expires>Mon, 09 Mar 2026 08:00:00 GMT</expires></push-register>"
    )
}

const CONTENT: &str = "<content-update><D:sync-level>infinite</D:sync-level></content-update>";
const BOTH: &str = "<content-update><D:sync-level>1</D:sync-level></content-update><property-update>\
    <D:depth>0</D:depth></property-update>";

/// Subscribes ana's phone; gives the path of the registration.
async fn subscribe(server: &Server, triggers: &str) -> String {
    let kept = server.ask("POST", UNIFIED, &[("content-type", "application/xml")], &register(triggers)).await.is(204);
    assert_eq!(kept.header("expires"), "Mon, 09 Mar 2026 08:00:00 GMT");
    let url = kept.header("location");
    url.strip_prefix("http://127.0.0.1:8008").expect("a whole URL of this server").to_owned()
}

/// The messages so far, as the phone reads them.
fn messages(server: &Server) -> Vec<String> {
    let read = |request: http::Request<Bytes>| {
        let auth = Auth::clone_from_slice(&AUTH);
        String::from_utf8(decrypt(request.body().to_vec(), &device(), &auth).unwrap()).unwrap()
    };
    server.outside.requests().into_iter().map(read).collect()
}

fn topic(xml: &str) -> &str {
    xml.split("topic").nth(1).and_then(|rest| rest.split(['<', '>']).nth(1)).unwrap()
}

/// The draft's service detection, registration, message and removal; RFC 8291, 8292.
#[tokio::test]
async fn davx5_is_pushed_to() {
    let server = Server::start().await;
    let options = server.raw("OPTIONS", UNIFIED, &[], "").await.is(200);
    assert!(options.header("dav").contains("webdav-push"));
    let found = "<D:propfind xmlns:D=\"DAV:\" xmlns:P=\"https://bitfire.at/webdav-push\"><D:prop><P:transports/><P:topic/>\
        <P:supported-triggers/></D:prop></D:propfind>";
    let found =
        server.ask("PROPFIND", UNIFIED, &[("depth", "0")], found).await.is(207).has("web-push").has("sync-level");
    let key = found.between("type=\"p256ecdsa\">", "<");
    let registration = subscribe(&server, CONTENT).await;
    assert_eq!(server.pushes.round().await.unwrap().sent, 0, "nothing has happened yet");

    server.put("a.ics", &event("a", "20260310T090000Z", "Secret")).await;
    server.put("b.ics", &event("b", "20260310T100000Z", "Secret")).await;
    assert_eq!(server.pushes.round().await.unwrap().sent, 1, "two changes, one message");
    assert_eq!(server.pushes.round().await.unwrap().sent, 0);
    let [message]: [String; 1] = messages(&server).try_into().unwrap();
    let now = server.ask("PROPFIND", UNIFIED, &[("depth", "0")], &props(&["D:sync-token"])).await;
    let token = now.between("<D:sync-token>", "</D:sync-token>");
    assert!(message.contains(&token) && message.contains("content-update") && !message.contains("property-update"));
    assert_eq!(topic(&message), topic(&found.body));
    let request = server.outside.requests().pop().unwrap();
    assert_eq!(request.uri(), "https://up.example.net/yohd4yai5Phiz1wi");
    assert!(request.headers().contains_key("ttl") && request.headers()["content-encoding"] == "aes128gcm");
    vouched_for(&request, &key);

    server.ask("DELETE", &registration, &[], "").await.is(204);
    server.ask("DELETE", &registration, &[], "").await.is(404);
    server.put("c.ics", &event("c", "20260310T090000Z", "C")).await;
    assert_eq!(server.pushes.round().await.unwrap().sent, 0);
}

/// RFC 8292 2: a token of ours, for that push service, and not for ever.
fn vouched_for(request: &http::Request<Bytes>, key: &str) {
    let value = request.headers()["authorization"].to_str().unwrap();
    let (token, told) = value.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(told, key, "the key that clients are told");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = VerifyingKey::from_sec1_bytes(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    key.verify(signed.as_bytes(), &signature).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], "https://up.example.net");
    assert!(claims["exp"].as_i64().unwrap() > 0 && claims["sub"] == "https://cal.example");
}

/// `Push-Dont-Notify`: a device is not told of what it did itself, and is of what others do.
#[tokio::test]
async fn davx5_is_not_told_of_its_own_changes() {
    let server = Server::start().await;
    let registration = subscribe(&server, BOTH).await;
    let path = format!("{UNIFIED}a.ics");
    let own = format!("\"http://127.0.0.1:8008{registration}\"");
    for header in [own.as_str(), "*"] {
        let body = event("a", "20260310T090000Z", header);
        let put = server.ask("PUT", &path, &[("push-dont-notify", header)], &body).await;
        assert!(put.status.is_success());
        assert_eq!(server.pushes.round().await.unwrap().sent, 0, "{header}");
    }
    server
        .ask("DELETE", &path, &[("push-dont-notify", "\"http://127.0.0.1:8008/dav/push/ana/unified/other\"")], "")
        .await;
    assert_eq!(server.pushes.round().await.unwrap().sent, 1);
    let rename = format!(
        "<D:propertyupdate {NS}><D:set><D:prop><D:displayname>New</D:displayname></D:prop></D:set></D:propertyupdate>"
    );
    server.ask("PROPPATCH", UNIFIED, &[], &rename).await.is(207);
    assert_eq!(server.pushes.round().await.unwrap().sent, 1);
    assert!(messages(&server)[1].contains("property-update") && !messages(&server)[1].contains("content-update"));
}

#[tokio::test]
async fn subscriptions_are_renewed_and_end() {
    let server = Server::start().await;
    let one = subscribe(&server, CONTENT).await;
    assert_eq!(subscribe(&server, BOTH).await, one, "the same push resource is no second subscription");
    server.clock.advance(Duration::from_hours(8 * 24));
    server.put("a.ics", &event("a", "20260310T090000Z", "A")).await;
    let round = server.pushes.round().await.unwrap();
    assert_eq!((round.sent, round.ended), (0, 1), "it has expired");
    server.ask("DELETE", &one, &[], "").await.is(404);
}

#[tokio::test]
async fn what_can_not_be_pushed_to_is_refused_by_name() {
    let server = Server::start().await;
    let good = register(CONTENT);
    let cases = [
        (good.replace("https://up.example.net", "up"), "invalid-subscription"),
        (good.replace(&public(), "AAAA"), "invalid-subscription"),
        (good.replace("web-push-subscription", "other-subscription"), "invalid-subscription"),
        (register(""), "no-supported-trigger"),
    ];
    for (body, element) in cases {
        server.ask("POST", UNIFIED, &[], &body).await.is(403).has(element);
    }
    server.ask("POST", UNIFIED, &[], "<other xmlns=\"DAV:\"/>").await.is(400);
    server.ask("POST", UNIFIED, &[], "no xml").await.is(400);
    server.ask("POST", "/dav/calendars/ana/none/", &[], &good).await.is(404);
    server.ask_as_bob("POST", UNIFIED, &[], &good).await.is(401);
    server.add("bob").await;
    server.ask_as_bob("POST", UNIFIED, &[], &good).await.is(404);
    assert_eq!(server.outside.requests().len(), 0);
}
