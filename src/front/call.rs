//! What a request's headers say about it.
//!
//! Decides which header values are valid. A header goes before the same word in a body's parameters;
//! of two timeouts the shorter counts.

use super::auth;
use crate::error::Error;
use crate::keys::Keys;
use crate::model::Model;
use crate::request::{InferRequest, Payload, Want};
use crate::telemetry::Ran;
use crate::types::{Priority, Time, is_name};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use uuid::Uuid;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PRIORITY: HeaderName = HeaderName::from_static("x-inferneo-priority");
const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// A request's id: the caller's own where it is usable.
#[derive(Debug, Clone)]
pub(super) struct CallId(pub(super) Arc<str>);

impl CallId {
    /// Takes `x-request-id`, or makes an id when there is none or it is not 1 to 128 visible ASCII
    /// characters.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(visible).filter(|id| !id.is_empty());
        Self(given.map_or_else(|| Uuid::new_v4().to_string().into(), Arc::from))
    }

    /// The id as a header's value.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("invalid"))
    }
}

/// One inference call, before its body is understood.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: Arc<str>,
    pub(super) arrived: Time,
    /// Empty when none was given.
    pub(super) tenant: Arc<str>,
    priority: Option<Priority>,
    timeout: Option<Duration>,
    /// The model, once it is known.
    pub(super) model: OnceLock<Arc<Model>>,
    /// When it was decoded, once it is.
    pub(super) decoded: OnceLock<Time>,
    /// How it ran, once it did.
    pub(super) ran: OnceLock<Ran>,
}

impl Call {
    /// Reads the headers of a call that arrived now, for the model of its path if that names one.
    ///
    /// # Errors
    /// `unauthenticated` where there are keys and it has none of them; `invalid_request` naming the header.
    pub(super) fn read(
        id: &CallId,
        arrived: Time,
        model: Option<Arc<Model>>,
        keys: Option<&Keys>,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        Ok(Self {
            // First: who is not known is not told what else is wrong.
            tenant: auth::tenant(keys, headers)?,
            id: Arc::clone(&id.0),
            arrived,
            priority: priority(headers)?,
            timeout: timeout(headers)?,
            model: model.map(OnceLock::from).unwrap_or_default(),
            decoded: OnceLock::new(),
            ran: OnceLock::new(),
        })
    }

    /// The request that this call makes of a decoded body. A body's own urgency and timeout count as
    /// the headers leave them.
    pub(super) fn request(
        &self,
        model: Arc<Model>,
        items: Vec<Payload>,
        want: Want,
        priority: Option<Priority>,
        timeout: Option<Duration>,
    ) -> InferRequest {
        InferRequest {
            id: Arc::clone(&self.id),
            model,
            tenant: Arc::clone(&self.tenant),
            priority: self.priority(priority),
            deadline: self.deadline(timeout),
            items,
            want,
        }
    }

    /// The urgency: the header's, else the body's, else none.
    fn priority(&self, body: Option<Priority>) -> Priority {
        self.priority.or(body).unwrap_or_default()
    }

    /// When the answer is no longer wanted, measured from arrival.
    fn deadline(&self, body: Option<Duration>) -> Option<Time> {
        [self.timeout, body].into_iter().flatten().min().map(|timeout| self.arrived + timeout)
    }
}

fn priority(headers: &HeaderMap) -> Result<Option<Priority>, Error> {
    let Some(value) = headers.get(PRIORITY) else {
        return Ok(None);
    };
    let level = digits(value).ok_or_else(|| {
        Error::invalid(format!("header {PRIORITY} must be a whole number: 1 is the most urgent, 0 is not given"))
    })?;
    Ok(Some(Priority(u32::try_from(level).unwrap_or(u32::MAX))))
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let ms = digits(value).filter(|&ms| ms > 0).ok_or_else(|| {
        Error::invalid(format!("header {TIMEOUT} must be a whole number of milliseconds, at least 1"))
    })?;
    Ok(Some(Duration::from_millis(ms)))
}

/// A non-negative integer; beyond 64 bits it is as good as the greatest.
fn digits(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A header that holds a name.
pub(super) fn visible(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().filter(|text| is_name(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &[u8]) -> Result<Call, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        Call::read(&CallId::of(&headers), Time(1_000), None, None, &headers)
    }

    #[test]
    fn ids_are_echoed_when_usable_and_made_otherwise() {
        assert_eq!(&*read("x-request-id", b"abc-1").unwrap().id, "abc-1");
        for bad in [&b""[..], b"a b", "é".as_bytes(), &[b'x'; 129]] {
            assert_eq!(read("x-request-id", bad).unwrap().id.len(), 36);
        }
    }

    #[test]
    fn bad_values_name_their_header() {
        for (name, value) in [
            ("x-inferneo-priority", &b"high"[..]),
            ("x-inferneo-priority", b"-1"),
            ("x-inferneo-priority", b"1.5"),
            ("x-inferneo-priority", b""),
            ("x-request-timeout-ms", b"0"),
            ("x-request-timeout-ms", b"1s"),
            ("x-inferneo-tenant", b"two words"),
            ("x-inferneo-tenant", &[b't'; 129]),
        ] {
            let message = read(name, value).unwrap_err().message;
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn numbers_clamp_and_the_header_goes_first() {
        let call = read("x-inferneo-priority", b"99999999999999999999999").unwrap();
        assert_eq!(call.priority(Some(Priority(2))), Priority(u32::MAX));
        assert_eq!(read("x-inferneo-tenant", b"acme").unwrap().priority(Some(Priority(2))), Priority(2));
    }

    #[test]
    fn the_shorter_timeout_counts_from_arrival() {
        let call = read("x-request-timeout-ms", b"5").unwrap();
        assert_eq!(call.deadline(None), Some(Time(5_001_000)));
        assert_eq!(call.deadline(Some(Duration::from_millis(1))), Some(Time(1_001_000)));
        assert_eq!(read("x-inferneo-tenant", b"acme").unwrap().deadline(None), None);
    }
}
