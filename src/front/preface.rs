//! A time limit on a connection's first bytes.
//!
//! Until enough bytes have come to tell HTTP/1 from HTTP/2, no HTTP timer runs; a client that sends
//! nothing, or the first letter of the HTTP/2 preface, would be kept for ever. After that the HTTP
//! timers take over and this is a plain stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose protocol must show within a time.
#[derive(Debug)]
pub(super) struct Preface {
    stream: TcpStream,
    /// Bytes read so far that agree with the HTTP/2 preface.
    agreed: usize,
    /// Gone once the protocol shows.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Preface {
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            agreed: 0,
            patience: Some(Box::pin(sleep(patience))),
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        if self.patience.is_none() {
            return;
        }
        let expected = &PREFACE[self.agreed..];
        let agrees = bytes.iter().zip(expected).all(|(a, b)| a == b);
        self.agreed += bytes.len().min(expected.len());
        if !agrees || self.agreed == PREFACE.len() {
            self.patience = None;
        }
    }
}

impl AsyncRead for Preface {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            this.saw(buf.filled().get(before..).unwrap_or_default());
            return Poll::Ready(read);
        }
        match &mut this.patience {
            Some(patience) => {
                ready!(patience.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came")))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Preface {
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
