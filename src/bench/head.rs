//! The head of an HTTP/1.1 answer: its status, where its body ends, and what it says of the batch.
//!
//! Decides which fields matter; everything else is passed over unread. Knows no connection.

use std::io;

/// The longest head that is read; a longer one is a fault.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// What a head says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Body,
    /// Whether the connection takes another request after this answer.
    pub(super) keep: bool,
    pub(super) batch: Option<BatchHeader>,
    pub(super) timing: Option<TimingHeader>,
    /// `x-inferneo-reason`.
    pub(super) reason: Option<String>,
}

/// Where a body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
}

/// `x-inferneo-batch`: the batch an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Rows that shared the batch, ≥ 1.
    pub(super) rows: u32,
    /// Sum of the rows' own lengths.
    pub(super) tokens: u64,
    /// Rows × padded length.
    pub(super) padded: u64,
}

/// `server-timing`: where the server spent the time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TimingHeader {
    pub(super) queue: f64,
    pub(super) assemble: f64,
    pub(super) compute: f64,
}

impl Head {
    /// Reads a head from the start of `bytes`; answers it with its length, or `None` while it is not whole.
    ///
    /// # Errors
    /// `InvalidData` where this is no answer of HTTP/1.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some(length) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4) else {
            return if bytes.len() > MOST_BYTES { Err(invalid("its head is too long")) } else { Ok(None) };
        };
        // Bytes that are no text can only stand in values that nobody reads here.
        let text = String::from_utf8_lossy(&bytes[..length - 4]);
        let mut lines = text.split("\r\n");
        let mut head = Self::of(lines.next().unwrap_or_default())?;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
            head.field(name, value.trim())?;
        }
        if matches!(head.status, 100..=199 | 204 | 304) {
            head.body = Body::Length(0);
        }
        head.keep &= head.body != Body::UntilClose;
        Ok(Some((head, length)))
    }

    fn of(status_line: &str) -> io::Result<Self> {
        let rest = status_line.strip_prefix("HTTP/1.").ok_or_else(|| invalid("it is not HTTP/1"))?;
        let status =
            rest.get(2..5).and_then(|digits| digits.parse().ok()).filter(|status| (100..1000).contains(status));
        Ok(Self {
            status: status.ok_or_else(|| invalid("it has no status"))?,
            body: Body::UntilClose,
            keep: !rest.starts_with('0'),
            batch: None,
            timing: None,
            reason: None,
        })
    }

    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-length") {
            let length = value.parse().map_err(|_| invalid("its content-length is no number"))?;
            if self.body != Body::Chunked {
                self.body = Body::Length(length);
            }
        } else if is("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(invalid("its transfer-encoding is not chunked"));
            }
            self.body = Body::Chunked;
        } else if is("connection") {
            let said = |word| value.split(',').any(|option| option.trim().eq_ignore_ascii_case(word));
            self.keep = (self.keep || said("keep-alive")) && !said("close");
        } else if is("x-inferneo-batch") {
            self.batch = batch_header(value);
        } else if is("server-timing") {
            self.timing = timing_header(value);
        } else if is("x-inferneo-reason") {
            self.reason = Some(value.to_owned());
        }
        Ok(())
    }
}

/// An answer that is none.
pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer cannot be read: {what}"))
}

/// Reads `rows=12;tokens=410;padded=480;…`; `None` where a part is missing.
fn batch_header(value: &str) -> Option<BatchHeader> {
    let field = |name: &str| value.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let rows = field("rows")?.parse().ok().filter(|rows| *rows > 0)?;
    Some(BatchHeader { rows, tokens: field("tokens")?.parse().ok()?, padded: field("padded")?.parse().ok()? })
}

/// Reads `queue;dur=1.5, assemble;dur=0.1, compute;dur=7`; `None` where a part is missing.
fn timing_header(value: &str) -> Option<TimingHeader> {
    let metric = |name: &str| {
        let entry = value.split(',').find_map(|entry| entry.trim().strip_prefix(name)?.strip_prefix(';'))?;
        entry.split(';').find_map(|part| part.trim().strip_prefix("dur="))?.parse().ok()
    };
    Some(TimingHeader { queue: metric("queue")?, assemble: metric("assemble")?, compute: metric("compute")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let (head, length) = Head::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        let body = |fields: &str| head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).body;
        assert_eq!(body("Content-Length: 12\r\n"), Body::Length(12));
        assert_eq!(body("TRANSFER-ENCODING: Chunked\r\ncontent-length: 3\r\n"), Body::Chunked);
        assert_eq!(body(""), Body::UntilClose);
        assert_eq!(head("HTTP/1.1 204 No Content\r\n\r\n").body, Body::Length(0));
        let refused =
            head("HTTP/1.1 503 Service Unavailable\r\nx-inferneo-reason: overloaded\r\ncontent-length:0\r\n\r\n");
        assert_eq!((refused.status, refused.reason.as_deref()), (503, Some("overloaded")));
    }

    #[test]
    fn a_connection_is_kept_unless_the_head_says_otherwise() {
        for (text, keep) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 200\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
        ] {
            assert_eq!(head(text).keep, keep, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_what_is_not_whole_is_awaited() {
        for bad in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nx: \xff\r\n\r\n").unwrap().is_some());
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        assert!(Head::parse(&[b'a'; MOST_BYTES + 1]).is_err());
    }

    #[test]
    fn headers_are_read_or_left_out() {
        let full = "rows=12;tokens=410;padded=480;policy=default;generation=3;batches=2";
        assert_eq!(batch_header(full), Some(BatchHeader { rows: 12, tokens: 410, padded: 480 }));
        assert_eq!(batch_header("rows=0;tokens=0;padded=0"), None);
        assert_eq!(batch_header("rows=12"), None);
        let full = "queue;dur=1.25, assemble;dur=0, compute;desc=run;dur=7";
        assert_eq!(timing_header(full), Some(TimingHeader { queue: 1.25, assemble: 0.0, compute: 7.0 }));
        assert_eq!(timing_header("cache;dur=1"), None);
    }
}
