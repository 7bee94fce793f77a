//! The network between the gateway and its upstreams, and what goes wrong in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use lineartime::clock::{Clock, ManualClock};
use lineartime::transport::{SendRules, Transport, TransportError, Unreachable};

use super::upstream::{Answer, Upstream};

/// What may happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens.
    Refused,
    /// It never arrives.
    TimedOut,
    /// It arrives and is carried out, the answer is lost.
    AnswerLost,
    /// It arrives and is carried out, the server says 500.
    CarriedOutBut500,
    /// The answer ends in its middle and looks whole.
    Truncated,
    /// This status and `Retry-After`.
    Status(u16, Option<u32>),
    /// A sign-in page with status 200.
    Html,
    /// A multistatus that names nothing.
    Empty,
    /// It arrives after a while.
    Slow(u64),
    /// It arrives twice, and the second answer is the one that comes back.
    Twice,
}

type Hook = Box<dyn FnMut(&Request<Bytes>) -> Option<Trouble> + Send>;

/// The network.
pub struct Network {
    upstreams: Mutex<BTreeMap<String, Upstream>>,
    hook: Mutex<Option<Hook>>,
    lines: Mutex<Vec<String>>,
    /// What listings (`PROPFIND` of depth 1) are answered with, and how often.
    lists: Mutex<Option<(String, u64)>>,
    clock: ManualClock,
    pub sent: AtomicU64,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

/// Exclusive use of one upstream.
pub struct At<'a> {
    all: MutexGuard<'a, BTreeMap<String, Upstream>>,
    host: String,
}

impl std::ops::Deref for At<'_> {
    type Target = Upstream;
    fn deref(&self) -> &Upstream {
        &self.all[&self.host]
    }
}

impl std::ops::DerefMut for At<'_> {
    fn deref_mut(&mut self) -> &mut Upstream {
        self.all.get_mut(&self.host).unwrap()
    }
}

impl Network {
    pub fn new(upstreams: BTreeMap<String, Upstream>, clock: ManualClock) -> Self {
        Self {
            upstreams: Mutex::new(upstreams),
            hook: Mutex::default(),
            lines: Mutex::default(),
            lists: Mutex::default(),
            clock,
            sent: AtomicU64::default(),
        }
    }

    pub fn at(&self, name: &str) -> At<'_> {
        At { all: self.upstreams.lock().unwrap(), host: name.to_owned() }
    }

    /// What goes wrong from now on.
    pub fn trouble(&self, hook: impl FnMut(&Request<Bytes>) -> Option<Trouble> + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        *self.hook.lock().unwrap() = None;
    }

    /// Listings are answered with this from now on.
    pub fn answer_lists_with(&self, body: Option<String>) {
        *self.lists.lock().unwrap() = body.map(|body| (body, u64::MAX));
    }

    /// So many listings are answered with this.
    pub fn answer_lists_times(&self, body: String, times: u64) {
        *self.lists.lock().unwrap() = Some((body, times));
    }

    /// The requests since the last call, as `METHOD path -> status`.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    fn deliver(&self, request: &Request<Bytes>) -> Option<Answer> {
        let host = request.uri().host()?;
        let name = host.split('.').next()?;
        Some(self.upstreams.lock().unwrap().get_mut(name)?.answer(request))
    }

    /// A request to a service that is no HTTP server here: what goes wrong with it, after it has waited as it must.
    pub async fn strike(&self, name: &str, what: &str) -> Option<Trouble> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let told = Request::builder()
            .uri(format!("/{}", what.split(' ').next().unwrap_or_default()))
            .body(Bytes::new())
            .unwrap();
        let trouble = self.hook.lock().unwrap().as_mut().and_then(|hook| hook(&told));
        self.lines.lock().unwrap().push(format!("{name} {what} -> {trouble:?}"));
        if let Some(Trouble::Slow(seconds)) = trouble {
            self.clock.sleep(Duration::from_secs(seconds)).await;
        }
        trouble
    }

    fn exchange(&self, request: &Request<Bytes>, trouble: Option<Trouble>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let is_listing =
            request.uri().path() != "/home/" && request.headers().get("depth").is_some_and(|depth| depth == "1");
        if request.method() == "PROPFIND"
            && is_listing
            && let Some((body, times)) = &mut *self.lists.lock().unwrap()
            && *times > 0
        {
            *times -= 1;
            return Ok(Answer { status: 207, tag: None, body: body.clone() }.into_response());
        }
        let empty = || Answer { status: 200, tag: None, body: String::new() };
        let mut answer = match trouble {
            Some(Trouble::Refused) => return Err(TransportError::Unreachable { host, kind: Unreachable::Connect }),
            Some(Trouble::TimedOut) => return Err(TransportError::TimedOut { host }),
            Some(Trouble::AnswerLost) => {
                drop(self.deliver(request));
                return Err(TransportError::Cut { host });
            }
            Some(Trouble::CarriedOutBut500) => {
                drop(self.deliver(request));
                Answer { status: 500, ..empty() }
            }
            Some(Trouble::Status(status, pause)) => {
                let mut response = Answer { status, ..empty() }.into_response();
                if let Some(pause) = pause {
                    response.headers_mut().insert("retry-after", pause.into());
                }
                if status == 401 {
                    response.headers_mut().insert("www-authenticate", "Basic realm=\"x\"".parse().unwrap());
                }
                return Ok(response);
            }
            Some(Trouble::Html) => Answer { body: "<html><body>Sign in</body></html>".to_owned(), ..empty() },
            Some(Trouble::Empty) => Answer { status: 207, body: "<multistatus xmlns=\"DAV:\"/>".to_owned(), ..empty() },
            Some(Trouble::Truncated | Trouble::Slow(_) | Trouble::Twice) | None => {
                if trouble == Some(Trouble::Twice) {
                    drop(self.deliver(request));
                }
                let unreachable = TransportError::Unreachable { host, kind: Unreachable::Name };
                self.deliver(request).ok_or(unreachable)?
            }
        };
        if trouble == Some(Trouble::Truncated) {
            let half = (0..=answer.body.len() / 2).rev().find(|at| answer.body.is_char_boundary(*at)).unwrap();
            answer.body.truncate(half);
        }
        Ok(answer.into_response())
    }
}

#[async_trait]
impl Transport for Network {
    async fn send(&self, request: Request<Bytes>, _rules: &SendRules) -> Result<Response<Bytes>, TransportError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let trouble = self.hook.lock().unwrap().as_mut().and_then(|hook| hook(&request));
        if let Some(Trouble::Slow(seconds)) = trouble {
            self.clock.sleep(Duration::from_secs(seconds)).await;
        }
        let result = self.exchange(&request, trouble);
        let said = match &result {
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) => error.to_string(),
        };
        let line = format!(
            "{} {}{} -> {said}",
            request.method(),
            request.uri().host().unwrap_or_default(),
            request.uri().path()
        );
        self.lines.lock().unwrap().push(line);
        tokio::task::yield_now().await;
        result
    }
}
