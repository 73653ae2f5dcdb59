//! Time limits on a connection that waits for a request's head.
//!
//! Decides how long a connection may say nothing at all before its protocol shows, and how long a head
//! may take from its first byte. The HTTP timer alone cannot tell an idle connection from a slow head,
//! and before the protocol shows there is none. HTTP/2 has pings of its own: from its preface on this is
//! a plain stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest a connection is kept without a request: longer than clients pool theirs, so that they are
/// the ones to close.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// Whether a connection carries a request or an answer; shared by its stream and its service.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<AtomicUsize>);

/// One half of an exchange: under way until dropped.
#[derive(Debug)]
pub(super) struct Half(Exchange);

impl Exchange {
    /// Begins a request or an answer.
    pub(super) fn begin(&self) -> Half {
        self.0.fetch_add(1, Ordering::Relaxed);
        Half(self.clone())
    }

    /// Turns the limits off: what follows is no longer HTTP.
    pub(super) fn go_on_for_ever(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that ends when a head does not come, or comes too slowly.
#[derive(Debug)]
pub(super) struct Patient {
    stream: TcpStream,
    exchange: Exchange,
    header_timeout: Duration,
    protocol: Protocol,
    /// Whether part of a head has come.
    in_head: bool,
    /// Runs while there is something to wait for.
    limit: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes agree with the HTTP/2 preface.
    Unknown(usize),
    Http1,
    Http2,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, header_timeout: Duration, exchange: Exchange) -> Self {
        let protocol = Protocol::Unknown(0);
        Self { stream, exchange, header_timeout, protocol, in_head: false, limit: None }
    }

    fn saw(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.protocol == Protocol::Http2 {
            return;
        }
        if let Protocol::Unknown(agreed) = self.protocol {
            let expected = &PREFACE[agreed..];
            let agrees = bytes.iter().zip(expected).all(|(a, b)| a == b);
            self.protocol = match agreed + bytes.len().min(expected.len()) {
                _ if !agrees => Protocol::Http1,
                agreed if agreed == PREFACE.len() => Protocol::Http2,
                agreed => Protocol::Unknown(agreed),
            };
        }
        if !self.in_head && !self.exchange.is_under_way() {
            (self.in_head, self.limit) = (true, None);
        }
    }

    /// The longest this may go on without a byte; between requests that is the HTTP timer's.
    fn patience(&self) -> Option<Duration> {
        match self.protocol {
            Protocol::Http2 => None,
            _ if self.in_head => Some(self.header_timeout),
            Protocol::Unknown(_) => Some(IDLE),
            Protocol::Http1 => None,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        if this.exchange.is_under_way() {
            (this.in_head, this.limit) = (false, None);
        }
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            this.saw(buf.filled().get(before..).unwrap_or_default());
            return Poll::Ready(read);
        }
        let Some(patience) = this.patience() else {
            this.limit = None;
            return Poll::Pending;
        };
        // Only here: a head that comes in one piece, as nearly all do, needs no timer.
        ready!(this.limit.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came")))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
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
