//! The program as a shell sees it: exit status, stdout, stderr; with a server and without one.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lineartime::clock::SystemClock;
use lineartime::entropy::OsEntropy;
use lineartime::store::{self, Batch, Config, EngineKind, Record, Table, tables};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery staple\n";

struct Home {
    folder: tempfile::TempDir,
    port: u16,
}

impl Home {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder: tempfile::tempdir().unwrap(), port: free.local_addr().unwrap().port() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lineartime"));
        command.args(arguments).current_dir(self.folder.path()).env("LINEARTIME_STORAGE__PATH", self.data());
        command.env("LINEARTIME_SERVER__LISTEN", format!("127.0.0.1:{}", self.port));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        // A command that reads no password may be gone before this is written.
        drop(child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()));
        child.wait_with_output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The one line that a command fails with.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {line}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(output.stdout.is_empty());
        line
    }

    fn serve(&self) -> Served {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.command(&["serve"]);
        let served = Served(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        for _ in 0..600 {
            if self.run(&["status", "--ready"]).status.success() {
                return served;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not start: {}", fs::read_to_string(self.folder.path().join("log")).unwrap());
    }
}

struct Served(Child);

impl Served {
    fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn commands_do_the_same_with_a_server_and_without_one() {
    let home = Home::new();
    home.ok(&["user", "add", "Ana", "--admin", "--password-stdin"]);
    assert_eq!(mode(&home.data()), 0o700);
    assert_eq!(mode(&home.data().join("master.key")), 0o600);
    let served = home.serve();
    assert_eq!(mode(&home.data().join("admin.sock")), 0o600);
    home.ok(&["user", "add", "ben", "--password-stdin"]);
    let names = |users: &Value| users.as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&home.json(&["user", "list"])), [json!("ana"), json!("ben")]);
    let made = home.json(&["app-password", "add", "ana", "--label", "phone"]);
    assert!(home.fails(&["user", "add", "ben", "--password-stdin"]).contains("ben"));
    assert!(home.fails(&["serve"]).contains("another process"));
    assert_eq!(home.json(&["status"]), json!({ "accounts": [], "queue": 0, "dead": 0 }));
    assert_eq!(served.stop(), Some(0));
    let listed = home.json(&["app-password", "list", "ana"]);
    assert_eq!(listed[0]["id"], made["id"]);
    assert!(!listed.to_string().contains(made["password"].as_str().unwrap()));
    home.ok(&["user", "remove", "ben", "--yes"]);
    assert_eq!(names(&home.json(&["user", "list"])), [json!("ana")]);
    assert!(home.fails(&["status", "--ready"]).contains("no server"));
}

/// The row that names the release which wrote a store last.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    by: String,
}

impl Record for Written {
    const FORMAT: u8 = 1;
}

/// Makes a store look as if the release before had written it.
fn written_before(folder: &Path) {
    let config = Config::new(EngineKind::Sled, folder);
    let store = store::open(&config, &SystemClock::new(), &OsEntropy).unwrap();
    let mut batch = Batch::new();
    let before = Written { by: "0.0.9".to_owned() };
    Table::<String, Written>::new(tables::META).put(&mut batch, &"written".to_owned(), &before);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.commit(batch).await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn an_upgrade_that_is_cut_off_is_done_at_the_next_start() {
    let home = Home::new();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    written_before(&home.data());
    let mut upgrade = home.command(&["user", "list"]);
    let ended = upgrade.env("LINEARTIME_FAILPOINT", "migrate.step").output().unwrap();
    assert_eq!(ended.status.signal(), Some(6), "{}", String::from_utf8_lossy(&ended.stderr));
    let backups = || fs::read_dir(home.data()).unwrap().filter(|one| is_backup(one.as_ref().unwrap())).count();
    assert_eq!(backups(), 1, "the backup comes before anything else");
    assert_eq!(home.json(&["user", "list"])[0]["name"], json!("ana"));
    assert_eq!(backups(), 1);
}

fn is_backup(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("before-")
}

#[cfg(target_os = "linux")]
#[test]
fn the_data_folder_may_lie_deeper_than_the_address_of_a_socket_is_long() {
    let folder = tempfile::Builder::new().prefix(&"deep".repeat(30)).tempdir().unwrap();
    let home = Home { folder, ..Home::new() };
    let served = home.serve();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    assert!(home.data().join("admin.sock").exists());
    assert_eq!(served.stop(), Some(0));
    assert!(!home.data().join("admin.sock").exists());
    assert_eq!(home.json(&["user", "list"])[0]["name"], "ana");
}

#[test]
fn events_come_in_are_kept_in_versions_and_come_back_from_a_backup() {
    let home = Home::new();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    let file = home.folder.path().join("in.ics");
    let event = |summary: &str| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u1\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260102T100000Z\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    };
    for (summary, created) in [("first", 1), ("second", 0)] {
        fs::write(&file, event(summary)).unwrap();
        assert_eq!(home.json(&["import", "ana", "in.ics"])["created"], created);
    }
    assert!(home.ok(&["export", "ana"]).contains("SUMMARY:second"));
    assert_eq!(home.json(&["history", "ana", "u1"]).as_array().unwrap().len(), 2);
    home.ok(&["restore-event", "ana", "u1", "--revision", "1"]);
    assert!(home.ok(&["export", "ana"]).contains("SUMMARY:first"));
    fs::write(&file, "no calendar").unwrap();
    home.fails(&["import", "ana", "in.ics"]);
    home.ok(&["backup", "copy"]);
    assert!(home.fails(&["restore", "copy"]).contains("empty"));
    fs::rename(home.data(), home.folder.path().join("old")).unwrap();
    home.ok(&["restore", "copy"]);
    assert!(home.fails(&["user", "list"]).contains("master key"));
    fs::copy(home.folder.path().join("old/master.key"), home.data().join("master.key")).unwrap();
    assert!(home.ok(&["export", "ana"]).contains("SUMMARY:first"));
    home.ok(&["user", "remove", "ana", "--yes"]);
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    assert!(!home.ok(&["export", "ana"]).contains("SUMMARY"), "who comes later under a name finds nothing");
    assert!(home.fails(&["history", "ana", "u1"]).contains("u1"));
}

#[test]
fn wrong_usage_and_wrong_configuration_are_told_apart() {
    let home = Home::new();
    for usage in [&["nonsense"][..], &["user", "add", "ana"], &["user", "remove", "ana"]] {
        assert_eq!(home.run(usage).status.code(), Some(2), "{usage:?}");
    }
    fs::write(home.folder.path().join("config.toml"), "[server]\nlistne = 1\n").unwrap();
    let error = home.fails(&["check-config"]);
    assert!(error.contains("server.listne") && error.contains("config.toml, line 2"), "{error}");
    fs::write(home.folder.path().join("config.toml"), "").unwrap();
    assert!(home.json(&["check-config"]).is_array());
    assert!(home.ok(&["version"]).starts_with("lineartime "));
    assert!(!home.data().exists(), "neither opens a store");
}

#[test]
fn a_damaged_store_is_named_and_what_is_left_of_it_can_be_kept() {
    let home = Home::new();
    let ids = |findings: &Value| {
        let all = findings.as_array().unwrap().iter();
        all.map(|one| (one["id"].as_str().unwrap().to_owned(), one["state"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let find =
        |findings: &Value, id: &str| ids(findings).into_iter().find(|(found, _)| found == id).map(|(_, state)| state);
    assert!(home.ok(&["doctor"]).contains("no data folder yet"));
    assert!(!home.data().exists());
    for name in ["ana", "ben", "cleo"] {
        home.ok(&["user", "add", name, "--password-stdin"]);
    }
    let fine = home.json(&["doctor"]);
    for id in ["files", "store", "clock", "public_url", "calendars of ana"] {
        assert_eq!(find(&fine, id).as_deref(), Some("ok"), "{id} in {fine}");
    }
    assert!(home.ok(&["doctor", "--accept-loss"]).contains("whole"));
    let file = home.data().join("sled/db");
    let mut octets = fs::read(&file).unwrap();
    let at = octets.windows(8).position(|part| part == b"$argon2i").unwrap();
    octets[at + 40] ^= 1;
    fs::write(&file, octets).unwrap();
    let ill = home.json(&["doctor"]);
    assert_eq!(find(&ill, "files").as_deref(), Some("error"), "{ill}");
    assert!(ill.to_string().contains("--accept-loss"), "{ill}");
    let kept = home.json(&["doctor", "--accept-loss"]);
    assert!(kept["lost"].as_u64().unwrap() > 0 || kept["kept"].as_u64().unwrap() > 0, "{kept}");
    assert!(Path::new(kept["damaged_files"].as_str().unwrap()).is_dir());
    assert_eq!(find(&home.json(&["doctor"]), "files").as_deref(), Some("ok"));
    // In another engine's words the folder is somebody else's.
    let mut other = home.command(&["doctor", "--json"]);
    let output = other.env("LINEARTIME_STORAGE__ENGINE", "redb").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("set storage.engine"), "{output:?}");
}

#[test]
fn kek_rotated_half_way() {
    let home = Home::new();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    let key = home.data().join("master.key");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let first = read(&key);
    let served = home.serve();
    assert_eq!(home.json(&["key", "rotate"]), json!({ "resealed": 0, "unreadable": 0 }));
    let second = read(&key);
    assert_ne!(first, second);
    assert_eq!(mode(&key), 0o600);
    assert_eq!(served.stop(), Some(0));
    home.ok(&["user", "list"]);
    // Cut off before anything was sealed again: the next start does the rest.
    let next = home.data().join("master.key.next");
    fs::write(&next, &first).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    home.ok(&["user", "list"]);
    assert!(!next.exists());
    assert_eq!(read(&key), first);
    fs::write(&key, &second).unwrap();
    assert!(home.fails(&["user", "list"]).contains("not the master key"), "the old one opens nothing");
    let mut literal = home.command(&["key", "rotate"]);
    let output = literal.env("LINEARTIME_SECURITY__MASTER_KEY", first.trim()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("master_key_file"), "{output:?}");
}

#[test]
fn an_archive_holds_a_file_for_each_event_and_packages_find_their_texts() {
    let home = Home::new();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    let event = |uid: &str| {
        format!("BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260102T100000Z\r\nEND:VEVENT\r\n")
    };
    let events = event("one") + &event("../../two");
    let all = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{events}END:VCALENDAR\r\n");
    fs::write(home.folder.path().join("in.ics"), all).unwrap();
    home.ok(&["import", "ana", "in.ics"]);
    let archive = home.run(&["export", "ana", "--zip"]).stdout;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"one.ics".to_owned()) && names.iter().all(|name| !name.contains('/')), "{names:?}");
    let one = std::io::read_to_string(archive.by_name("one.ics").unwrap()).unwrap();
    assert!(one.starts_with("BEGIN:VCALENDAR") && one.contains("UID:one\r\n") && !one.contains("two"), "{one}");
    assert!(home.fails(&["export", "ana", "--zip", "--json"]).contains("leave one"));
    assert!(home.ok(&["generate", "man"]).contains("lineartime"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.ok(&["generate", "completions", shell]).contains("app-password"), "{shell}");
    }
    let noted = home.command(&["check-config"]).env("LINEARTIME_LIMITS__MAX_REQUEST_INSTANCES", "7").output().unwrap();
    assert!(String::from_utf8_lossy(&noted.stdout).contains("limits.max_request_instances has no effect"), "{noted:?}");
}

/// Whatever the level, and whoever logs: our own lines or those of what we build on.
#[test]
fn what_people_write_and_their_secrets_stay_out_of_logs_and_figures() {
    use std::io::Read as _;
    use std::net::TcpStream;

    const CANARIES: [&str; 5] = ["CanarySummary", "canary.guest", "canary-password", "CanaryBody", "canary-upstream"];
    let home = Home::new();
    home.ok(&["user", "add", "ana", "--password-stdin"]);
    let log = home.folder.path().join("trace.log");
    let file = fs::File::create(&log).unwrap();
    let mut command = home.command(&["serve"]);
    command.env("LINEARTIME_LOG__LEVEL", "trace").env("LINEARTIME_PROVIDERS__ALLOW_PRIVATE_ADDRESSES", "true");
    let served = Served(command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap());
    while !home.run(&["status", "--ready"]).status.success() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let say = |request: String| {
        let mut stream = TcpStream::connect(("127.0.0.1", home.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let basic = |login: &str| data_encoding::BASE64.encode(login.as_bytes());
    let (right, wrong) = (basic(&format!("ana:{}", PASSWORD.trim())), basic("ana:canary-password"));
    let body = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
                DTSTART:20260102T100000Z\r\nSUMMARY:CanarySummary\r\nATTENDEE:mailto:canary.guest@example.org\r\n\
                END:VEVENT\r\nEND:VCALENDAR\r\n";
    let put = |login: &str, body: &str| {
        say(format!(
            "PUT /dav/calendars/ana/unified/u.ics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\
             Content-Type: text/calendar\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    assert!(put(&right, body).starts_with("HTTP/1.1 201"));
    assert!(put(&right, "BEGIN:CanaryBody\r\n").starts_with("HTTP/1.1 403"));
    assert!(put(&wrong, body).starts_with("HTTP/1.1 401"));
    let upstream = format!("http://canary-upstream:canary-password@127.0.0.1:{}/", home.port);
    let arguments = [
        "account",
        "add",
        "ana",
        "--provider",
        "caldav",
        "--url",
        &upstream,
        "-u",
        "canary-upstream",
        "--password-stdin",
    ];
    assert!(!home.run(&arguments).status.success());
    // An account whose password is kept: this server is its own upstream.
    home.ok(&["user", "add", "ben", "--password-stdin"]);
    let own = format!("http://127.0.0.1:{}/", home.port);
    home.ok(&["account", "add", "ana", "--provider", "caldav", "--url", &own, "-u", "ben", "--password-stdin"]);
    let device = home.json(&["app-password", "add", "ana", "--label", "phone"]);
    let device = device["password"].as_str().unwrap().to_owned();
    home.ok(&["sync", "ana", "--wait"]);
    let copy = home.folder.path().join("copy");
    home.ok(&["backup", copy.to_str().unwrap()]);
    let figures = say("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned());
    for name in ["lineartime_http_requests_total", "lineartime_http_request_seconds", "lineartime_connections_open"] {
        assert!(figures.contains(name), "no {name} in {figures}");
    }
    assert_eq!(served.stop(), Some(0));
    let logged = fs::read_to_string(&log).unwrap();
    assert!(logged.contains("TRACE") && logged.contains("answered"), "something is logged at all");
    let seen = |text: &str, canary: &str| text.lines().find(|line| line.contains(canary)).map(str::to_owned);
    let bens = basic(&format!("ben:{}", PASSWORD.trim()));
    for folder in [home.data(), copy] {
        for file in files_below(&folder) {
            let octets = fs::read(&file).unwrap();
            for secret in [PASSWORD.trim(), &device, &right, &bens] {
                let there = octets.windows(secret.len()).any(|run| run == secret.as_bytes());
                assert!(!there, "a secret lies open in {}", file.display());
            }
        }
    }
    for canary in CANARIES.into_iter().chain([PASSWORD.trim(), &right, &wrong, &bens, &device]) {
        assert_eq!(seen(&logged, canary), None, "{canary} in the log");
        assert_eq!(seen(&figures, canary), None, "{canary} in the figures");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}
