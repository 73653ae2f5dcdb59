//! The refusal of a head that is no request, with the reason written out.
//!
//! Decides what such a refusal says. The HTTP library writes it before any service is called, and without a body; it is
//! recognised by coming first on its connection, where nothing else can be written. A later one stays as it is.

use bytes::{Buf, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Header fields that the HTTP library takes in one head, unless told otherwise.
const MOST_FIELDS: usize = 100;
/// Bytes that it takes in the target of a request.
const LONGEST_TARGET: usize = 65_534;

/// Whether a connection has carried a request; shared by its stream and its service.
#[derive(Debug, Clone, Default)]
pub struct FirstRequest(Arc<AtomicBool>);

impl FirstRequest {
    /// Notes that a request's head was accepted.
    pub fn begin(&self) {
        // Read before it is written: the line stays in every core's cache.
        if !self.has_begun() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose refusal of a first head has a reason.
#[derive(Debug)]
pub struct Explained<S> {
    stream: S,
    first: FirstRequest,
    /// Most bytes of a head.
    most: usize,
    /// What is still to be written in the place of a refusal, and how many bytes that had.
    pending: Option<(Bytes, usize)>,
}

impl<S> Explained<S> {
    /// Wraps a stream on which heads of up to `most` bytes are accepted.
    pub fn new(stream: S, first: FirstRequest, most: usize) -> Self {
        Self { stream, first, most, pending: None }
    }

    /// Starts a replacement where these bytes are a bare refusal.
    fn inspect(&mut self, bytes: &[u8], length: usize) {
        if self.pending.is_none() && !self.first.has_begun() {
            self.pending = explain(bytes, self.most).map(|reply| (reply, length));
        }
    }
}

impl<S: AsyncWrite + Unpin> Explained<S> {
    /// Writes what is pending; returns the length of what it replaces once all of it is written.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<usize>>> {
        while let Some((reply, length)) = &mut self.pending {
            if reply.is_empty() {
                let length = *length;
                self.pending = None;
                return Poll::Ready(Some(Ok(length)));
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, reply)) {
                Ok(written) => reply.advance(written),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(None)
    }
}

/// The refusal that stands in for a bare one; `None` for anything else.
fn explain(bytes: &[u8], most: usize) -> Option<Bytes> {
    let (line, _) = bytes.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(4)?;
    let (status, reason, message) = match line {
        b"431 " => (
            "431 Request Header Fields Too Large",
            "too_large",
            format!(
                "the head has more than {MOST_FIELDS} fields or more than {most} bytes, which is all that is accepted"
            ),
        ),
        b"414 " => (
            "414 URI Too Long",
            "too_large",
            format!("the request's target has more than {LONGEST_TARGET} bytes, which is all that is accepted"),
        ),
        b"400 " => {
            ("400 Bad Request", "invalid_request", "the head is not one of an HTTP/1.1 or HTTP/1.0 request".to_owned())
        }
        _ => return None,
    };
    let body = format!("{{\"error\":\"{message}\",\"reason\":\"{reason}\"}}");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         x-inferneo-reason: {reason}\r\ncontent-length: {length}\r\n\r\n"
    );
    Some([head, body].concat().into())
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inspect(buf, buf.len());
        match ready!(self.poll_pending(cx)) {
            Some(replaced) => Poll::Ready(replaced),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first() {
            self.inspect(first, bufs.iter().map(|buf| buf.len()).sum());
        }
        match ready!(self.poll_pending(cx)) {
            Some(replaced) => Poll::Ready(replaced),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What arrives of these writes, of which the first comes before any request if `first` says so.
    async fn arrives(first: &FirstRequest, writes: &[&[u8]]) -> String {
        let (mut near, far) = tokio::io::duplex(16);
        let mut stream = Explained::new(far, first.clone(), 9);
        let read = tokio::spawn(async move {
            let mut all = String::new();
            near.read_to_string(&mut all).await.unwrap();
            all
        });
        for write in writes {
            stream.write_all(write).await.unwrap();
        }
        drop(stream);
        read.await.unwrap()
    }

    #[tokio::test]
    async fn a_bare_refusal_of_the_first_head_gets_its_reason() {
        for (status, reason, word) in [
            ("431 Request Header Fields Too Large", Reason::TooLarge, "more than 100 fields or more than 9 bytes"),
            ("414 URI Too Long", Reason::TooLarge, "more than 65534 bytes"),
            ("400 Bad Request", Reason::InvalidRequest, "HTTP/1.1"),
        ] {
            let bare = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            let told = arrives(&FirstRequest::default(), &[bare.as_bytes()]).await;
            let (head, body) = told.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{told}");
            assert!(head.contains(&format!("x-inferneo-reason: {}\r\n", reason.label())), "{told}");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{told}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["reason"], reason.label());
            assert!(body["error"].as_str().unwrap().contains(word), "{body}");
        }
    }

    #[tokio::test]
    async fn what_answers_a_request_is_left_alone() {
        let first = FirstRequest::default();
        first.begin();
        for text in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert_eq!(arrives(&first, &[text.as_bytes(), b"more"]).await, format!("{text}more"));
        }
        let fresh = FirstRequest::default();
        assert_eq!(arrives(&fresh, &[b"HTTP/1.1 101 Switching", b""]).await, "HTTP/1.1 101 Switching");
    }
}
