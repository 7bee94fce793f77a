//! Plain folders (RFC 4918 9), which litmus walks through from outside; here are the parts that it leaves out.

use super::*;

const FILES: &str = "/dav/files/ana/";

#[tokio::test]
async fn a_file_is_kept_as_it_was_sent() {
    let server = Server::start().await;
    let path = format!("{FILES}n\u{f6}te.txt");
    let path = path.replace('\u{f6}', "%C3%B6");
    let put = server.ask("PUT", &path, &[("content-type", "text/plain")], "hello").await.is(201);
    let etag = put.header("etag");
    let got = server.ask("GET", &path, &[], "").await.is(200);
    assert_eq!(
        (got.body.as_str(), got.header("etag"), got.header("content-type")),
        ("hello", etag.clone(), "text/plain".into())
    );
    assert_eq!(got.header("content-disposition"), "attachment", "never a page of this server");
    server.ask("GET", &path, &[("if-none-match", &etag)], "").await.is(304);
    server.ask("PUT", &path, &[("if-match", "\"other\"")], "x").await.is(412);
    server.ask("PUT", &path, &[("if-none-match", "*")], "x").await.is(412);
    server.ask("PUT", &path, &[("if", "([\"other\"])")], "x").await.is(412);
    server.ask("PUT", &path, &[("if", &format!("([{etag}])"))], "x").await.is(204);
    server.ask("DELETE", &path, &[("if-match", &etag)], "").await.is(412);
    server.ask("DELETE", &path, &[], "").await.is(204);
    server.ask("GET", &path, &[], "").await.is(404);
}

/// RFC 4918 9.3, 9.6.1, 9.8, 9.9.
#[tokio::test]
async fn folders_are_made_copied_moved_and_deleted_whole() {
    let server = Server::start().await;
    let a = format!("{FILES}a/");
    server.ask("MKCOL", &format!("{FILES}no/parent/"), &[], "").await.is(409);
    server.ask("MKCOL", &a, &[], "<x/>").await.is(415);
    server.ask("MKCOL", &a, &[], "").await.is(201);
    server.ask("MKCOL", &a, &[], "").await.is(405);
    server.ask("PUT", &format!("{a}b"), &[], "1").await.is(201);
    server.ask("PUT", &a, &[], "1").await.is(405);
    let to = |path: &str| format!("http://cal.example.org{FILES}{path}");
    server.ask("COPY", &a, &[("destination", &to("c/"))], "").await.is(201);
    server.ask("COPY", &a, &[("destination", &to("c/")), ("overwrite", "F")], "").await.is(412);
    server.ask("COPY", &a, &[("destination", &to("a/inside/"))], "").await.is(403);
    server.ask("MOVE", &a, &[("destination", &to("none/x"))], "").await.is(409);
    server.ask("MOVE", &a, &[("destination", &to("x")), ("depth", "0")], "").await.is(400);
    server.ask("MOVE", &a, &[("destination", &to("c/"))], "").await.is(204);
    let list = server.ask("PROPFIND", FILES, &[("depth", "1")], &props(&["D:resourcetype"])).await.is(207);
    assert_eq!(list.count("<D:response>"), 2);
    list.has("/dav/files/ana/c/").lacks("/dav/files/ana/a/");
    server.ask("DELETE", &format!("{FILES}c/"), &[("depth", "0")], "").await.is(204);
    server.ask("GET", &format!("{FILES}c/b"), &[], "").await.is(404);
    server.ask("DELETE", FILES, &[], "").await.is(403);
    server.ask("MKCALENDAR", &format!("{FILES}cal/"), &[], "").await.is(405);
}

#[tokio::test]
async fn nobody_reaches_into_the_files_of_others() {
    let server = Server::start().await;
    server.add("bob").await;
    server.ask("PUT", &format!("{FILES}a"), &[], "1").await.is(201);
    server.ask_as_bob("GET", &format!("{FILES}a"), &[], "").await.is(404);
    let there = [("destination", "/dav/files/ana/b")];
    server.ask_as_bob("PUT", "/dav/files/bob/a", &[], "2").await.is(201);
    server.ask_as_bob("COPY", "/dav/files/bob/a", &there, "").await.is(409);
    server.ask("GET", &format!("{FILES}b"), &[], "").await.is(404);
}
