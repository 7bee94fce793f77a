//! The real [`Transport`], on `reqwest` with `rustls`.
//!
//! `reqwest` asks our resolver for every new connection and connects to the addresses it is given, so that
//! what the guard has checked is what is connected to. An address written in the URL itself never reaches a
//! resolver and is checked beforehand.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use http::header::AUTHORIZATION;
use http::{Request, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Identity};
use url::{Host, Url};

use super::egress::{PrivateAddresses, is_special};
use super::{SendRules, Service, Transport, TransportError, Unreachable};
use crate::failpoint;

/// Sends requests over the network.
pub struct HttpTransport {
    private: PrivateAddresses,
    /// For https, and for http without credentials.
    open: Client,
    /// For credentials over plain http: connects to private addresses alone.
    indoors: Client,
    /// For https to the hosts that want a certificate of ours.
    certified: Option<(Vec<String>, Client)>,
    /// The most octets of any answer.
    max_body: usize,
    names: Option<TokioResolver>,
}

/// What a company's network needs, and bounds for everybody's.
#[derive(Clone)]
pub struct Outfit {
    /// Certificates (PEM) of authorities that are trusted beside the usual ones.
    pub authorities: Option<Vec<u8>>,
    /// A certificate of ours with its key (PEM), and the hosts that get to see it.
    pub certificate: Option<(Vec<u8>, Vec<String>)>,
    /// Speak HTTP/1.1 only, to servers that stumble over multiplexing.
    pub http1_only: bool,
    /// The most octets of any answer.
    pub max_body: usize,
}

impl fmt::Debug for Outfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outfit")
            .field("http1_only", &self.http1_only)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

impl Default for Outfit {
    fn default() -> Self {
        Self { authorities: None, certificate: None, http1_only: false, max_body: usize::MAX }
    }
}

impl HttpTransport {
    /// A transport under the given egress setting.
    ///
    /// # Errors
    /// When the TLS library or the resolver can't be set up, in words.
    pub fn new(private: PrivateAddresses) -> Result<Self, String> {
        Self::with(private, &Outfit::default())
    }

    /// The same with what the network at hand needs.
    ///
    /// # Errors
    /// When the TLS library or the resolver can't be set up, or a certificate can't be read, in words.
    pub fn with(private: PrivateAddresses, outfit: &Outfit) -> Result<Self, String> {
        // The first caller in the process wins; all callers install the same one.
        let _already = rustls::crypto::ring::default_provider().install_default().is_err();
        let authorities = match &outfit.authorities {
            Some(pem) => Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or("there is no certificate (PEM) in the file of authorities")?,
            None => Vec::new(),
        };
        let client = |reach, identity: Option<Identity>| {
            let guard = Guard { private: private.clone(), reach };
            let built = build(&guard, &authorities, identity, outfit.http1_only);
            built.map_err(|e| format!("the HTTP client can't be set up: {}", chain(&e)))
        };
        let certified = match &outfit.certificate {
            Some((pem, hosts)) => {
                let identity = Identity::from_pem(pem)
                    .map_err(|_| "the client certificate and its key can't be read: both have to be PEM")?;
                let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
                Some((hosts, client(Reach::Anywhere, Some(identity))?))
            }
            None => None,
        };
        let names = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
        Ok(Self {
            open: client(Reach::Anywhere, None)?,
            indoors: client(Reach::Indoors, None)?,
            certified,
            max_body: outfit.max_body,
            // Without a readable resolv.conf discovery does without SRV; all else still works.
            names: names.ok(),
            private,
        })
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Vec<RData> {
        let Some(names) = &self.names else { return Vec::new() };
        // A dot at the end keeps search domains out.
        let Ok(found) = names.lookup(format!("{}.", name.trim_end_matches('.')), kind).await else {
            return Vec::new();
        };
        found.answers().iter().map(|record| record.data.clone()).collect()
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("private", &self.private).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request<Bytes>, rules: &SendRules) -> Result<Response<Bytes>, TransportError> {
        check(&request)?;
        let in_clear = request.uri().scheme_str() == Some("http") && request.headers().contains_key(AUTHORIZATION);
        let mut outgoing = reqwest::Request::try_from(request)
            .map_err(|_| TransportError::Invalid("the URL or a header is not valid"))?;
        let host = outgoing.url().host_str().unwrap_or_default().to_owned();
        if let Some(address) = literal(outgoing.url()) {
            if !self.private.admits(&host, address) {
                return Err(TransportError::RefusedAddress { host });
            }
            if in_clear && !is_special(address) {
                return Err(TransportError::ClearText { host });
            }
        }
        let client = match &self.certified {
            _ if in_clear => &self.indoors,
            Some((hosts, client)) if hosts.contains(&host) => client,
            _ => &self.open,
        };
        *outgoing.timeout_mut() = Some(rules.total);
        let is_write = !matches!(outgoing.method().as_str(), "GET" | "HEAD" | "OPTIONS" | "PROPFIND" | "REPORT");
        let answer = client.execute(outgoing).await.map_err(|e| explain(&e, &host))?;
        if is_write {
            failpoint::reach("outbox.sent_no_reply");
        }
        let rules = SendRules { max_body: rules.max_body.min(self.max_body), ..*rules };
        receive(answer, &rules, &host).await
    }

    async fn services(&self, name: &str) -> Vec<Service> {
        let mut found: Vec<_> = self
            .lookup(name, RecordType::SRV)
            .await
            .into_iter()
            .filter_map(|data| match data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .collect();
        found.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
        found
            .into_iter()
            .map(|srv| Service { host: srv.target.to_ascii().trim_end_matches('.').to_owned(), port: srv.port })
            // A single "." says that the service is decidedly not offered (RFC 2782).
            .filter(|service| !service.host.is_empty())
            .collect()
    }

    async fn texts(&self, name: &str) -> Vec<String> {
        let data = self.lookup(name, RecordType::TXT).await;
        data.into_iter()
            .filter_map(|data| match data {
                RData::TXT(txt) => {
                    Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
                }
                _ => None,
            })
            .collect()
    }
}

/// Where a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Anywhere,
    Indoors,
}

/// Resolves names, and gives out only addresses that pass.
#[derive(Clone, Debug)]
struct Guard {
    private: PrivateAddresses,
    reach: Reach,
}

/// Why the guard gave no address; found again in the chain of the error that `reqwest` makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("no such name")]
    NoName,
    #[error("a private address")]
    Private,
    #[error("a public address without encryption")]
    ClearText,
}

impl Guard {
    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, Refused> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await.map_err(|_| Refused::NoName)?.collect();
        self.filter(host, &found)
    }

    fn filter(&self, host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refused> {
        if found.is_empty() {
            return Err(Refused::NoName);
        }
        let admitted: Vec<SocketAddr> = found.iter().filter(|a| self.private.admits(host, a.ip())).copied().collect();
        if admitted.is_empty() {
            return Err(Refused::Private);
        }
        if self.reach == Reach::Indoors && !admitted.iter().all(|a| is_special(a.ip())) {
            return Err(Refused::ClearText);
        }
        Ok(admitted)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is used up by what it stands for")]
fn build(
    guard: &Guard,
    authorities: &[Certificate],
    identity: Option<Identity>,
    http1_only: bool,
) -> reqwest::Result<Client> {
    let builder = || {
        let mut builder = Client::builder()
            .user_agent(concat!("LinearTime/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(guard.clone()))
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .pool_idle_timeout(POOLED)
            .pool_max_idle_per_host(4)
            .tcp_keepalive(POOLED)
            .tls_certs_merge(authorities.iter().cloned());
        if let Some(identity) = identity.clone() {
            builder = builder.identity(identity);
        }
        if http1_only { builder.http1_only() } else { builder }
    };
    // A machine without root certificates can still serve, and speak http to its own network.
    builder().build().or_else(|_| builder().tls_certs_only(authorities.iter().cloned()).build())
}

fn check(request: &Request<Bytes>) -> Result<(), TransportError> {
    let uri = request.uri();
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        return Err(TransportError::Invalid("only http and https URLs can be asked for"));
    }
    let authority = uri.authority().ok_or(TransportError::Invalid("the URL has no host"))?;
    if authority.as_str().contains('@') {
        return Err(TransportError::Invalid("a URL must not hold a name or a password"));
    }
    Ok(())
}

/// The address that a URL names by number. Read from the parsed URL, as the connector does: `127.1`, `0x7f.0.0.1` and
/// `2130706433` are one address, and no resolver is asked for them.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

async fn receive(
    mut answer: reqwest::Response,
    rules: &SendRules,
    host: &str,
) -> Result<Response<Bytes>, TransportError> {
    let too_large = || TransportError::TooLarge { host: host.to_owned() };
    // The announced length is that of the encoded body: a lower bound is enough to stop early.
    if answer.content_length().is_some_and(|length| length > rules.max_body as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| explain(&e, host))? {
        if body.len() + piece.len() > rules.max_body {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = answer.status();
    *response.version_mut() = answer.version();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

/// Our word for `error`. Its own text may hold the URL, so only the kinds of its causes are looked at.
fn explain(error: &reqwest::Error, host: &str) -> TransportError {
    let host = host.to_owned();
    if let Some(refused) = cause::<Refused>(error) {
        return match refused {
            Refused::NoName => TransportError::Unreachable { host, kind: Unreachable::Name },
            Refused::Private => TransportError::RefusedAddress { host },
            Refused::ClearText => TransportError::ClearText { host },
        };
    }
    if let Some(tls) = tls_cause(error) {
        return TransportError::Tls { host, why: insecure(tls) };
    }
    if error.is_timeout() {
        return TransportError::TimedOut { host };
    }
    if error.is_connect() {
        return TransportError::Unreachable { host, kind: Unreachable::Connect };
    }
    TransportError::Cut { host }
}

/// `error` and what caused it, outermost first.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&e: &&'a (dyn StdError + 'static)| e.source())
}

fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|e| e.downcast_ref::<E>())
}

/// The TLS error among the causes. Connectors wrap it in an `io::Error`, some in two, and its `source` skips what it holds.
fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(tls_within)
}

fn tls_within<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let itself = error.downcast_ref::<rustls::Error>();
    itself.or_else(|| tls_within(error.downcast_ref::<std::io::Error>()?.get_ref()?))
}

/// What keeps the connection from being secure, and what a person may do about it; else in the words of the library.
fn insecure(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
    let words = match error {
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            "its certificate is signed by an authority that is not known here; providers.tls.ca_file may name it"
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        Error::AlertReceived(Alert::CertificateRequired) => {
            "it wants a certificate of ours; providers.tls.client_cert and client_cert_hosts give it one"
        }
        other => return other.to_string(),
    };
    words.to_owned()
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const CONNECT: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_mins(1);
const POOLED: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server on loopback that reads one request head per connection and writes `answer`.
    async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = socket.read(&mut head).await.unwrap();
            socket.write_all(&answer).await.unwrap();
            String::from_utf8_lossy(&head[..n]).into_owned()
        });
        (url, task)
    }

    fn ask(url: &str) -> Request<Bytes> {
        Request::builder()
            .method("PROPFIND")
            .uri(url)
            .header(AUTHORIZATION, "Basic c2VjcmV0")
            .body(Bytes::new())
            .unwrap()
    }

    fn transport() -> HttpTransport {
        HttpTransport::new(PrivateAddresses::Allow).unwrap()
    }

    #[tokio::test]
    async fn a_redirect_comes_back_as_it_is() {
        let (url, task) =
            serve(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let answer = transport().send(ask(&url), &SendRules::default()).await.unwrap();
        assert_eq!(answer.status(), 302);
        let head = task.await.unwrap();
        assert!(head.starts_with("PROPFIND /x HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("user-agent: lineartime/"), "{head}");
    }

    #[tokio::test]
    async fn a_failed_handshake_is_told_as_one() {
        let (url, _task) = serve(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let error = transport().send(ask(&url.replace("http:", "https:")), &SendRules::default()).await.unwrap_err();
        assert!(matches!(error, TransportError::Tls { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_cut_short_is_an_error() {
        let (url, _task) = serve(b"HTTP/1.1 207 Multi-Status\r\ncontent-length: 100\r\n\r\n<half".to_vec()).await;
        let error = transport().send(ask(&url), &SendRules::default()).await.unwrap_err();
        assert!(matches!(error, TransportError::Cut { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_over_the_bound_is_an_error_announced_or_not() {
        let rules = SendRules { max_body: 10, ..SendRules::default() };
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world".to_vec();
        let open_ended = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello world".to_vec();
        for answer in [plain, open_ended] {
            let (url, _task) = serve(answer).await;
            let error = transport().send(ask(&url), &rules).await.unwrap_err();
            assert!(matches!(error, TransportError::TooLarge { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn private_addresses_are_refused_by_name_and_by_number() {
        let guarded = HttpTransport::new(PrivateAddresses::Refuse).unwrap();
        let inwards = "http://127.0.0.1:9/ https://[::1]/ http://localhost:9/ https://169.254.169.254/ http://127.1:9/ \
            http://0x7f.0.0.1:9/ http://2130706433:9/ http://017700000001:9/ https://[::ffff:10.0.0.1]/ http://0:9/";
        for url in inwards.split_whitespace() {
            let error = guarded.send(ask(url), &SendRules::default()).await.unwrap_err();
            assert!(matches!(error, TransportError::RefusedAddress { .. }), "{url}: {error:?}");
            assert!(error.to_string().contains("providers.allow_private_addresses"));
        }
    }

    #[tokio::test]
    async fn credentials_go_unencrypted_to_private_addresses_alone() {
        let error = transport().send(ask("http://1.1.1.1/"), &SendRules::default()).await.unwrap_err();
        assert!(matches!(error, TransportError::ClearText { .. }), "{error:?}");
        let guard = Guard { private: PrivateAddresses::Allow, reach: Reach::Indoors };
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        assert_eq!(guard.filter("h", &[at("10.0.0.1"), at("8.8.8.8")]), Err(Refused::ClearText));
        assert_eq!(guard.filter("h", &[at("10.0.0.1")]), Ok(vec![at("10.0.0.1")]));
    }

    #[tokio::test]
    async fn nobody_at_home_is_unreachable() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error =
            transport().send(ask(&format!("http://127.0.0.1:{port}/")), &SendRules::default()).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { kind: Unreachable::Connect, .. }), "{error:?}");
    }

    #[tokio::test]
    async fn what_is_no_http_is_not_sent() {
        for url in ["ftp://example.org/", "https://user:secret@example.org/"] {
            let error = transport().send(ask(url), &SendRules::default()).await.unwrap_err();
            assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_compressed_body_counts_with_its_full_length() {
        let bomb = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, BOMB).unwrap();
        let mut packed =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len()).into_bytes();
        packed.extend(&bomb);
        for (max_body, fits) in [(100_000, false), (200_000, true)] {
            let (url, _task) = serve(packed.clone()).await;
            let rules = SendRules { max_body, ..SendRules::default() };
            let answer = transport().send(ask(&url), &rules).await;
            assert_eq!(answer.is_ok_and(|answer| answer.body().len() == 200_000), fits);
        }
    }

    #[tokio::test]
    async fn silence_is_not_waited_for_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let rules = SendRules { total: Duration::from_millis(100), ..SendRules::default() };
        let error = transport().send(ask(&url), &rules).await.unwrap_err();
        assert!(matches!(error, TransportError::TimedOut { .. }), "{error:?}");
    }

    /// 200,000 zeros.
    const BOMB: &str = "H4sIAAAAAAACA+3BMQEAAADCoPVPbQZ/oAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACA1wB7WOBcQA0DAA==";
}
