//! A transport for tests: answers by a function or from a list, and remembers what it was asked.
//!
//! It lives in the library and not behind `cfg(test)`, so that simulations can use it too. It opens no
//! connection.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

use super::{SendRules, Service, Transport, TransportError};

/// What a fake answers.
pub type Answer = Result<Response<Bytes>, TransportError>;

type Handler = Box<dyn FnMut(&Request<Bytes>) -> Answer + Send>;

/// A scripted [`Transport`]. Clones share script and memory.
#[derive(Clone)]
pub struct FakeTransport {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    handler: Handler,
    requests: Vec<Request<Bytes>>,
    services: Vec<(String, Service)>,
    texts: Vec<(String, String)>,
}

impl FakeTransport {
    /// A server that is this function.
    pub fn serving(handler: impl FnMut(&Request<Bytes>) -> Answer + Send + 'static) -> Self {
        let inner = Inner { handler: Box::new(handler), requests: Vec::new(), services: Vec::new(), texts: Vec::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Answers in order; asked once more than there are answers, the connection is cut.
    pub fn script(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        Self::serving(move |_| {
            answers.pop().unwrap_or_else(|| Err(TransportError::Cut { host: "script at its end".to_owned() }))
        })
    }

    /// Makes `name` have this SRV record.
    #[must_use]
    pub fn with_service(self, name: &str, host: &str, port: u16) -> Self {
        self.lock().services.push((name.to_owned(), Service { host: host.to_owned(), port }));
        self
    }

    /// Makes `name` have this TXT record.
    #[must_use]
    pub fn with_text(self, name: &str, text: &str) -> Self {
        self.lock().texts.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.lock().requests.clone()
    }

    /// Every request so far as `METHOD url`, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.lock().requests.iter().map(|r| format!("{} {}", r.method(), r.uri())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeTransport({} requests)", self.lock().requests.len())
    }
}

#[async_trait]
impl Transport for FakeTransport {
    async fn send(&self, request: Request<Bytes>, _rules: &SendRules) -> Answer {
        let mut inner = self.lock();
        let answer = (inner.handler)(&request);
        inner.requests.push(request);
        answer
    }

    async fn services(&self, name: &str) -> Vec<Service> {
        let inner = self.lock();
        inner.services.iter().filter(|(n, _)| n == name).map(|(_, service)| service.clone()).collect()
    }

    async fn texts(&self, name: &str) -> Vec<String> {
        let inner = self.lock();
        inner.texts.iter().filter(|(n, _)| n == name).map(|(_, text)| text.clone()).collect()
    }
}

/// An answer with `status`, `headers` and `body`.
///
/// # Panics
/// On a status or header that HTTP does not allow: a mistake in the test.
#[expect(clippy::expect_used, reason = "only tests call it, with constants")]
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    Ok(builder.body(Bytes::copy_from_slice(body.as_bytes())).expect("a valid answer"))
}
