//! One connection of HTTP/1.1, as cheap as it can be: a request is one write of bytes made beforehand, and an answer's
//! body is passed over in the buffer it was read into.
//!
//! Decides how an answer is read to its end. Knows neither what is asked nor what the figures mean. It shares a machine
//! with the server it measures, which is why it is not a general client.

use super::head::{Body, Head, MOST_BYTES, invalid};
use crate::remote::Target;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Enough for the head and a small body in one read.
const BUFFER_BYTES: usize = 16 * 1024;
/// Large bodies are read in pieces of this size.
const LARGE_BUFFER_BYTES: usize = 256 * 1024;

/// How much of a body is kept where somebody wants it.
const DETAIL_BYTES: usize = 300;

/// An open connection, with no answer outstanding.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// What has been read and not used is `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        Ok(Self { stream: target.connect().await?, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 })
    }

    /// Whether the server closed its end, or said something without being asked.
    pub(super) fn is_stale(&self) -> bool {
        // Without news from the runtime this costs no system call.
        let peeked = self.stream.try_read(&mut [0]);
        self.start != self.end || !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request and reads the head of its answer; then comes [`body`](Self::body).
    ///
    /// After an error, or where the future was dropped, the connection is of no use.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<Head> {
        let sent = self.stream.write_all(request).await;
        // A server may refuse a large request before it has read all of it.
        match (self.head().await, sent) {
            (Err(_), Err(error)) => Err(error),
            (head, Ok(())) => head,
            (Ok(head), Err(_)) => Ok(Head { keep: false, ..head }),
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some((head, length)) = Head::parse(&self.buffer[self.start..self.end])? {
                self.start += length;
                if !(100..200).contains(&head.status) {
                    return Ok(head);
                }
            } else {
                self.fill().await?;
            }
        }
    }

    /// Reads the body to its end; answers its beginning where `keep` says so, else nothing.
    pub(super) async fn body(&mut self, body: Body, keep: bool) -> io::Result<Vec<u8>> {
        let mut kept = Kept { bytes: Vec::new(), room: if keep { DETAIL_BYTES } else { 0 } };
        match body {
            Body::Length(length) => self.pass(length, &mut kept).await?,
            Body::Chunked => self.chunks(&mut kept).await?,
            Body::UntilClose => self.rest(&mut kept).await?,
        }
        Ok(kept.bytes)
    }

    async fn chunks(&mut self, kept: &mut Kept) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk has no size"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.pass(size, kept).await?;
            if !self.line().await?.is_empty() {
                return Err(invalid("a chunk is longer than it says"));
            }
        }
    }

    async fn rest(&mut self, kept: &mut Kept) -> io::Result<()> {
        loop {
            kept.take(&self.buffer[self.start..self.end]);
            (self.start, self.end) = (0, 0);
            match self.fill().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                other => other?,
            }
        }
    }

    /// Passes over `length` bytes.
    async fn pass(&mut self, length: u64, kept: &mut Kept) -> io::Result<()> {
        let mut left = length;
        loop {
            let here = left.min((self.end - self.start) as u64) as usize;
            kept.take(&self.buffer[self.start..self.start + here]);
            self.start += here;
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            if left > self.buffer.len() as u64 && self.buffer.len() < LARGE_BUFFER_BYTES {
                self.buffer.resize(LARGE_BUFFER_BYTES, 0);
            }
            self.fill().await?;
        }
    }

    /// Takes a line, without its end.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            let unused = &self.buffer[self.start..self.end];
            if let Some(end) = unused.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&unused[..end]).into_owned();
                self.start += end + 2;
                return Ok(line);
            }
            if unused.len() > MOST_BYTES {
                return Err(invalid("a chunk's size is too long"));
            }
            self.fill().await?;
        }
    }

    /// Reads more, behind what is not used yet.
    async fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                // `Head` and `line` give up long before this has grown much.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match self.stream.read(&mut self.buffer[self.end..]).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }
}

/// The beginning of a body.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    room: usize,
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        let more = bytes.len().min(self.room);
        self.bytes.extend_from_slice(&bytes[..more]);
        self.room -= more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers each of `answers` to one request of one byte, in pieces of `piece` bytes; then closes.
    async fn server(answers: &'static [&'static str], piece: usize) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for answer in answers {
                stream.read_exact(&mut [0]).await.unwrap();
                for piece in answer.as_bytes().chunks(piece) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        target
    }

    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\ntrailer: t\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nto the end",
    ];

    #[tokio::test]
    async fn answers_are_read_to_their_end_however_they_are_cut() {
        for piece in [1, 7, 1000] {
            let mut wire = Wire::open(&server(ANSWERS, piece).await).await.unwrap();
            for body in ["hello", "abc0123456789", "", "to the end"] {
                let head = wire.ask(b"x").await.unwrap();
                assert_eq!(wire.body(head.body, true).await.unwrap(), body.as_bytes());
            }
            assert!(wire.ask(b"x").await.is_err());
        }
    }

    #[tokio::test]
    async fn a_body_longer_than_the_buffer_is_passed_over() {
        const SIZE: usize = 3 * LARGE_BUFFER_BYTES + 11;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n{}", "z".repeat(SIZE));
        let answer: &'static str = answer.leak();
        let answers: &'static [&'static str] = vec![answer, ANSWERS[0]].leak();
        let mut wire = Wire::open(&server(answers, 100_000).await).await.unwrap();
        let head = wire.ask(b"x").await.unwrap();
        assert_eq!(wire.body(head.body, false).await.unwrap(), b"");
        let head = wire.ask(b"x").await.unwrap();
        assert_eq!(wire.body(head.body, true).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_cut_answer_is_an_error() {
        for answers in [&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"], &["HTTP/1.1 200 OK\r\nconte"]] {
            let mut wire = Wire::open(&server(answers, 1000).await).await.unwrap();
            let outcome = match wire.ask(b"x").await {
                Ok(head) => wire.body(head.body, false).await,
                Err(error) => Err(error),
            };
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
