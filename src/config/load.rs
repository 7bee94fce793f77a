//! File and environment to a configuration, with errors that say where to look.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::sections::Config;
use crate::failpoint;
use crate::vault::Secret;

/// A configuration, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// The file, if there was one.
    pub file: Option<PathBuf>,
    /// What is no error and yet worth saying.
    pub notes: Vec<String>,
}

/// Why there is no configuration. The text names the key, and the file and line or the variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

const PREFIX: &str = "LINEARTIME_";
/// Names the file, as `--config` does.
const FILE: &str = "LINEARTIME_CONFIG";
/// Read when it is there and no other was named.
const USUAL_FILE: &str = "config.toml";

impl Loaded {
    /// Reads `file`, or what `LINEARTIME_CONFIG` names, or `config.toml` here if there is one; then the
    /// environment; then the files that hold secrets.
    pub fn from_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        // Names or values that are no text are none of ours.
        let own = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            Some((name, value.into_string().ok()))
        });
        let mut variables = Vec::new();
        for (name, value) in own {
            variables.push((name.clone(), value.ok_or_else(|| ConfigError(format!("{name} is no UTF-8 text")))?));
        }
        variables.sort();
        let named = variables.iter().find(|(name, _)| name == FILE).map(|(_, value)| PathBuf::from(value));
        let file = match file.map(Path::to_owned).or(named) {
            Some(file) => Some(file),
            None => Some(PathBuf::from(USUAL_FILE)).filter(|usual| usual.is_file()),
        };
        Self::from_parts(file, &variables)
    }

    /// The same from given parts.
    pub fn from_parts(file: Option<PathBuf>, variables: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut table = match &file {
            Some(file) => read_file(file)?,
            None => Table::new(),
        };
        let mut notes = Vec::new();
        for (name, value) in variables {
            let is_setting = name != FILE && name != failpoint::VARIABLE;
            let Some(path) = name.strip_prefix(PREFIX).filter(|_| is_setting) else { continue };
            // Container platforms make variables as LINEARTIME_PORT for a service of this name.
            if !path.contains("__") {
                notes.push(format!("{name} is not read: section and key are joined by two underscores"));
                continue;
            }
            table = with_variable(&table, name, &path.to_ascii_lowercase(), value)?;
        }
        let mut config = Config::deserialize(table).map_err(|error| ConfigError(error.message().to_owned()))?;
        read_secret_files(&mut config)?;
        check(&config)?;
        Ok(Self { config, file, notes })
    }
}

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ConfigError(format!("{shown}: there is no such file")),
        _ => ConfigError(format!("{shown} can't be read: {error}")),
    })?;
    let wrong = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
        let key = DeTable::parse(&text).ok().and_then(|table| key_at(&table, &span));
        let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
        // One line for people, whatever the library draws.
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError(format!("{shown}, line {line}: {key}{message}"))
    };
    // Once for the error with its place, once for the table that the environment is laid over.
    toml::from_str::<Config>(&text).map_err(|error| wrong(&error))?;
    toml::from_str::<Table>(&text).map_err(|error| wrong(&error))
}

/// The dotted key whose name or value lies at `span`.
fn key_at(table: &Spanned<DeTable<'_>>, span: &Range<usize>) -> Option<String> {
    fn within(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            if let DeValue::Table(inner) = value.get_ref()
                && let Some(mut path) = within(inner, span)
            {
                path.insert(0, name);
                return Some(path);
            }
            let covers = |range: Range<usize>| range.start <= span.start && span.start < range.end;
            let is_header = matches!(value.get_ref(), DeValue::Table(_));
            if covers(key.span()) || (!is_header && covers(value.span())) {
                return Some(vec![name]);
            }
        }
        None
    }
    within(table.get_ref(), span).map(|path| path.join("."))
}

/// Lays one variable over the table. Its text is taken as a text if the key takes one, else as TOML, else as a list
/// with commas.
fn with_variable(table: &Table, name: &str, path: &str, text: &str) -> Result<Table, ConfigError> {
    let toml = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let list = text.split(',').map(|part| Value::String(part.trim().to_owned())).collect();
    let readings = [Some(Value::String(text.to_owned())), toml, Some(Value::Array(list))];
    let mut wrong = None;
    for reading in readings.into_iter().flatten() {
        let mut changed = table.clone();
        let parts: Vec<&str> = path.split("__").collect();
        if !set(&mut changed, &parts, reading) {
            return Err(ConfigError(format!("{name}: {} is no section", path.replace("__", "."))));
        }
        match Config::deserialize(changed.clone()) {
            Ok(_) => return Ok(changed),
            Err(error) => wrong.get_or_insert(error),
        };
    }
    // The value is not repeated: it may be a secret.
    let why = wrong.map(|error| error.message().replace(text, "..")).unwrap_or_default();
    Err(ConfigError(format!("{name} (for {}): {why}", path.replace("__", "."))))
}

fn set(table: &mut Table, path: &[&str], value: Value) -> bool {
    match path {
        [] => false,
        [key] => {
            table.insert((*key).to_owned(), value);
            true
        }
        [section, rest @ ..] => {
            let inner = table.entry(*section).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| set(inner, rest, value))
        }
    }
}

fn read_secret_files(config: &mut Config) -> Result<(), ConfigError> {
    let pairs: [(&str, &mut Option<Secret>, &Option<PathBuf>); 6] = [
        ("storage.url", &mut config.storage.url, &config.storage.url_file),
        ("security.master_key", &mut config.security.master_key, &config.security.master_key_file),
        (
            "providers.google.client_secret",
            &mut config.providers.google.client_secret,
            &config.providers.google.client_secret_file,
        ),
        (
            "providers.microsoft.client_secret",
            &mut config.providers.microsoft.client_secret,
            &config.providers.microsoft.client_secret_file,
        ),
        ("oidc.client_secret", &mut config.oidc.client_secret, &config.oidc.client_secret_file),
        ("alerts.webhook_url", &mut config.alerts.webhook_url, &config.alerts.webhook_url_file),
    ];
    for (key, secret, file) in pairs {
        let Some(file) = file else { continue };
        if secret.is_some() {
            return Err(ConfigError(format!("{key} and {key}_file are both set; leave one of them out")));
        }
        let wrong = |why: String| ConfigError(format!("{key}_file: {} {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| wrong(format!("can't be read: {error}")))?;
        let text = zeroize::Zeroizing::new(text);
        if text.trim().is_empty() {
            return Err(wrong("is empty".to_owned()));
        }
        *secret = Some(Secret::from(text.trim().to_owned()));
    }
    Ok(())
}

/// What no single key can say.
fn check(config: &Config) -> Result<(), ConfigError> {
    let wrong = |text: String| Err(ConfigError(text));
    if config.server.tls_cert.is_some() != config.server.tls_key.is_some() {
        return wrong("server.tls_cert and server.tls_key are set together, or not at all".to_owned());
    }
    let tls = &config.providers.tls;
    if tls.client_cert.is_some() != tls.client_key.is_some()
        || tls.client_cert.is_some() == tls.client_cert_hosts.is_empty()
    {
        let keys = "providers.tls.client_cert, client_key and client_cert_hosts";
        return wrong(format!("{keys} are set together, or not at all"));
    }
    check_oidc(&config.oidc)?;
    if let Err(error) = crate::telemetry::check_level(&config.log.level) {
        return wrong(format!("log.level: {error}"));
    }
    for proxy in &config.server.trusted_proxies {
        if proxy.parse::<ipnet::IpNet>().is_err() && proxy.parse::<std::net::IpAddr>().is_err() {
            return wrong(format!(
                "server.trusted_proxies: \"{proxy}\" is no address and no network such as 10.0.0.0/8"
            ));
        }
    }
    let fraction = config.sync.mass_delete_guard.fraction;
    if !(0.0..=1.0).contains(&fraction) {
        return wrong(format!("sync.mass_delete_guard: {fraction} is no fraction between 0 and 1"));
    }
    for (key, zero) in [
        ("server.max_connections", config.server.max_connections == 0),
        ("server.max_requests", config.server.max_requests == 0),
        ("sync.workers", config.sync.workers == 0),
        ("sync.poll_interval", config.sync.poll_interval.is_zero()),
        ("sync.backoff_base", config.sync.backoff_base.is_zero()),
        ("limits.max_resource_size", config.limits.max_resource_size == 0),
        ("limits.max_request_body", config.limits.max_request_body == 0),
    ] {
        if zero {
            return wrong(format!("{key} can't be 0"));
        }
    }
    if config.limits.max_request_body < config.limits.max_resource_size {
        return wrong("limits.max_request_body is smaller than limits.max_resource_size".to_owned());
    }
    Ok(())
}

/// Codes and tokens travel to the service, so it is asked over https; on this machine http will do.
fn check_oidc(oidc: &super::Oidc) -> Result<(), ConfigError> {
    let wrong = |text: &str| Err(ConfigError(text.to_owned()));
    let Some(issuer) = &oidc.issuer else { return Ok(()) };
    if oidc.client_id.is_none() {
        return wrong("oidc.issuer is set, and oidc.client_id is not");
    }
    let url = url::Url::parse(issuer).ok();
    let here = url.as_ref().and_then(url::Url::host).is_some_and(|host| match host {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    });
    match url.as_ref().map(url::Url::scheme) {
        Some("https") => Ok(()),
        Some("http") if here => Ok(()),
        _ => wrong("oidc.issuer is no https address such as https://login.example.org"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    const EXAMPLE: &str = include_str!("../../config.toml");

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, text).unwrap();
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let loaded = Loaded::from_parts(Some(file), &variables).map_err(|error| error.to_string())?;
        Ok(loaded.config)
    }

    /// The same text with every unset key set.
    fn all_set() -> String {
        let shows_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let bare = |line: &'static str| match line.strip_prefix("# ") {
            Some(rest) if shows_key(rest) => rest,
            _ => line,
        };
        EXAMPLE.lines().map(bare).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        assert_eq!(load(EXAMPLE, &[]).unwrap(), Config::default());
        assert_eq!(load("", &[]).unwrap(), Config::default());
    }

    #[test]
    fn the_example_shows_every_key() {
        let table: Table = toml::from_str(&all_set()).unwrap();
        assert!(toml::from_str::<Config>(&all_set()).is_ok());
        let mut sections = vec![(String::new(), &table)];
        while let Some((name, section)) = sections.pop() {
            let mut probe = Table::new();
            let path: Vec<&str> = name.split('.').filter(|part| !part.is_empty()).chain(["no_such_key"]).collect();
            assert!(set(&mut probe, &path, Value::Boolean(true)));
            let message = Config::deserialize(probe).unwrap_err().message().to_owned();
            let known: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
            let shown: BTreeSet<&str> = section.keys().map(String::as_str).collect();
            assert_eq!(shown, known, "[{name}]");
            for (key, value) in section {
                if let Value::Table(inner) = value
                    && key != "mass_delete_guard"
                {
                    sections.push((format!("{name}.{key}").trim_start_matches('.').to_owned(), inner));
                }
            }
        }
    }

    #[test]
    fn errors_name_key_file_and_line() {
        for (text, parts) in [
            (
                "[server]\nlisten = '127.0.0.1:1'\nlistne = 'x'\n",
                &["config.toml, line 3", "server.listne", "unknown field"][..],
            ),
            ("[sync]\n\nmax_retries = 'many'\n", &["line 3", "sync.max_retries", "invalid type"]),
            ("[sync]\npoll_interval = '15 weeks'\n", &["line 2", "sync.poll_interval", "15 weeks"]),
            ("[limits]\nmax_request_body = '4MB'\n", &["line 2", "limits.max_request_body", "4MB"]),
            ("[providers.google]\nclient = 1\n", &["line 2", "providers.google.client"]),
            ("[nonsense]\na = 1\n", &["line 1", "nonsense"]),
            ("[server\n", &["line 1"]),
            ("[storage]\nengine = 'paper'\n", &["line 2", "storage.engine", "paper", "sled"]),
            (
                "[providers]\nallow_private_addresses = 'maybe'\n",
                &["line 2", "providers.allow_private_addresses", "list of hosts"],
            ),
            ("[server]\npublic_url = 'calendar.example.org'\n", &["line 2", "server.public_url"]),
            ("[server]\ntls_cert = 'c.pem'\n", &["server.tls_key"]),
            ("[log]\nlevel = 'loud'\n", &["log.level", "loud"]),
            ("[server]\ntrusted_proxies = ['localhost']\n", &["server.trusted_proxies", "localhost"]),
        ] {
            let error = load(text, &[]).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text:?} gave {error:?} without {part:?}");
            }
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = load(
            "[server]\nlisten = '127.0.0.1:1'\n[sync]\nmax_retries = 3\n",
            &[
                ("LINEARTIME_SERVER__LISTEN", "0.0.0.0:8008"),
                ("LINEARTIME_SYNC__POLL_INTERVAL", "5m"),
                ("LINEARTIME_SYNC__MAX_RETRIES", "4"),
                ("LINEARTIME_LIMITS__MAX_RESOURCE_SIZE", "2MiB"),
                ("LINEARTIME_PROVIDERS__ALLOW_PRIVATE_ADDRESSES", "true"),
                ("LINEARTIME_PROVIDERS__GOOGLE__CLIENT_ID", "1234"),
                ("LINEARTIME_SERVER__TRUSTED_PROXIES", "127.0.0.1, ::1"),
                ("LINEARTIME_SYNC__MASS_DELETE_GUARD", "{ count = 5, fraction = 0.5 }"),
                ("LINEARTIME_PORT", "tcp://10.0.0.1:80"),
                ("LINEARTIME_CONFIG", "elsewhere.toml"),
            ],
        )
        .unwrap();
        assert_eq!(config.server.listen.port(), 8008);
        assert_eq!((config.sync.poll_interval, config.sync.max_retries), (Duration::from_mins(5), 4));
        assert_eq!(config.limits.max_resource_size, 2 << 20);
        assert_eq!(config.providers.allow_private_addresses, crate::transport::PrivateAddresses::Allow);
        assert_eq!(config.providers.google.client_id.as_deref(), Some("1234"));
        assert_eq!(config.server.trusted_proxies, ["127.0.0.1", "::1"]);
        assert_eq!(config.sync.mass_delete_guard.count, 5);
    }

    #[test]
    fn wrong_variables_are_named_and_their_values_are_not() {
        for (name, value, part) in [
            ("LINEARTIME_SERVER__LISTNE", "x", "server.listne"),
            ("LINEARTIME_SYNC__MAX_RETRIES", "hunter2", "sync.max_retries"),
            ("LINEARTIME_NOWHERE__AT_ALL", "x", "nowhere"),
            ("LINEARTIME_SERVER__LISTEN__X", "x", "server.listen.x"),
        ] {
            let error = load("", &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_sign_in_service_is_whole_and_asked_over_https() {
        let oidc = |issuer: &str| load(&format!("[oidc]\nissuer = '{issuer}'\nclient_id = 'x'\n"), &[]);
        for fine in ["https://login.example.org/realms/a", "http://localhost:9000", "http://[::1]:9000"] {
            assert_eq!(oidc(fine).unwrap().oidc.issuer.as_deref(), Some(fine));
        }
        for bad in ["http://login.example.org", "login.example.org", "ftp://localhost"] {
            assert!(oidc(bad).unwrap_err().contains("oidc.issuer"), "{bad}");
        }
        assert!(load("[oidc]\nissuer = 'https://a.example'\n", &[]).unwrap_err().contains("oidc.client_id"));
    }

    #[test]
    fn secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "00ff\n").unwrap();
        let path = file.to_str().unwrap();
        let config = load("", &[("LINEARTIME_SECURITY__MASTER_KEY_FILE", path)]).unwrap();
        assert_eq!(config.security.master_key.unwrap().expose_str(), Some("00ff"));
        let both = [("LINEARTIME_SECURITY__MASTER_KEY_FILE", path), ("LINEARTIME_SECURITY__MASTER_KEY", "x")];
        assert!(load("", &both).unwrap_err().contains("both"));
        let none = load("", &[("LINEARTIME_OIDC__CLIENT_SECRET_FILE", "/no/such/file")]).unwrap_err();
        assert!(none.contains("oidc.client_secret_file") && none.contains("/no/such/file"));
    }
}
