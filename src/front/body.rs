//! An inference body: admitted, read and decompressed, all within bounds.
//!
//! Decides what is too large, too slow or in a form that is not understood, and where in memory a body comes to lie.
//! Knows of the protocols only where their tensor data begins.

use super::{Front, Held, gzip, oip};
use crate::error::{Error, Reason};
use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::timeout;

/// The most bytes of a body where nothing is set and no model has larger rows.
const USUAL: usize = 16 << 20;

/// First reservation for a body of unknown length; each next one doubles what is held.
const STEP: usize = 64 << 10;
/// Most bytes, and longest time, that the rest of a refused body is read and thrown away.
const LINGER_BYTES: usize = 64 << 20;
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Tensor data of a body in several chunks begins at a multiple of this: a cache line, and right for every datatype.
const ALIGN: usize = 64;

/// Admits and reads a body; answers it with the room that it takes, for as long as that is held.
pub(super) async fn receive(front: &Front, headers: &HeaderMap, mut body: Body) -> Result<(Bytes, Vec<Held>), Error> {
    let mut room = Room { front, held: Vec::new(), bytes: 0 };
    match read(front, headers, &mut body, &mut room).await {
        Ok(bytes) => Ok((bytes, room.held)),
        Err(error) => {
            if error.reason != Reason::BodyTimeout {
                linger(headers, body);
            }
            Err(error)
        }
    }
}

async fn read(front: &Front, headers: &HeaderMap, body: &mut Body, room: &mut Room<'_>) -> Result<Bytes, Error> {
    let max = most_bytes(front);
    check_content_type(headers)?;
    let gzipped = is_gzip(headers)?;
    let length = content_length(headers);
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_large(max, length));
    }
    let length = length.and_then(|length| usize::try_from(length).ok());
    room.grow_to(length.unwrap_or(STEP.min(max)))?;
    let slow = |_| {
        let seconds = front.limits.body_timeout.as_secs_f64();
        Error::new(Reason::BodyTimeout, format!("the body did not arrive within {seconds} s"))
    };
    let expected = Expected { length, data_at: oip::data_at(headers).filter(|_| !gzipped) };
    let bytes = timeout(front.limits.body_timeout, collect(body, expected, max, room)).await.map_err(slow)??;
    if !gzipped {
        return Ok(bytes);
    }
    let expanded = front.pool.run(bytes.len() <= gzip::INLINE, move || gzip::expand(&bytes, max)).await?;
    room.grow_to(expanded.len())?;
    Ok(expanded)
}

/// Throws away the rest of a refused body, beside the answer.
///
/// A connection closed over unread bytes is reset, and a reset can overtake the refusal: the client
/// would see a broken connection instead of a 503. A client that waits for `100 Continue` is spared.
pub(super) fn linger(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(header::EXPECT) || body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(LINGER_TIME, async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(size) else { return };
            left = rest;
        }
    }));
}

/// What the headers say of a body.
#[derive(Debug, Clone, Copy)]
struct Expected {
    length: Option<usize>,
    /// Where tensor data begins.
    data_at: Option<usize>,
}

impl Expected {
    /// An empty buffer for a body of at least `size` bytes, in which its tensor data will lie well.
    fn buffer(&self, size: usize) -> BytesMut {
        let size = self.length.unwrap_or(size).max(size);
        let Some(data_at) = self.data_at else { return BytesMut::with_capacity(size) };
        let mut buffer = BytesMut::with_capacity(size.saturating_add(ALIGN));
        let skipped = buffer.as_ptr().addr().wrapping_add(data_at).wrapping_neg() % ALIGN;
        buffer.resize(skipped, 0);
        buffer.advance(skipped);
        buffer
    }
}

async fn collect(body: &mut Body, expected: Expected, max: usize, room: &mut Room<'_>) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let broken = |e| Error::invalid(format!("the body could not be read: {e}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        let size = whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
        if size > max {
            return Err(too_large(max, None));
        }
        room.grow_to(size)?;
        match first.take() {
            // One chunk, the common case, is kept as it came.
            None if whole.is_empty() => first = Some(data),
            before => {
                if let Some(before) = before {
                    whole = expected.buffer(size);
                    whole.extend_from_slice(&before);
                }
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// Room reserved so far for one body.
struct Room<'a> {
    front: &'a Front,
    held: Vec<Held>,
    bytes: usize,
}

impl Room<'_> {
    /// Holds room for at least `bytes`, and asks the gate at least once even for none.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        if self.held.is_empty() {
            self.held.push(self.front.backend.reserve(bytes)?);
            self.bytes = bytes;
        } else if bytes > self.bytes {
            let wanted = bytes.max(self.bytes.saturating_mul(2)).min(most_bytes(self.front)).max(bytes);
            self.held.push(self.front.backend.reserve(wanted - self.bytes)?);
            self.bytes = wanted;
        }
        Ok(())
    }
}

/// The most bytes of a body: what was set, or 16 MiB and room for one row of the widest model.
fn most_bytes(front: &Front) -> usize {
    front.limits.max_body_bytes.unwrap_or_else(|| front.registry.widest_row().max(USUAL))
}

fn too_large(max: usize, length: Option<u64>) -> Error {
    let size = length.map_or_else(|| format!("more than {max}"), |length| length.to_string());
    Error::new(Reason::TooLarge, format!("the body has {size} bytes; at most {max} are taken (max_body_bytes)"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*essence {
        "" | "application/json" | "application/octet-stream" => Ok(()),
        other => Err(Error::new(
            Reason::UnsupportedMediaType,
            format!("content-type {other:?} is not understood: send application/json or application/octet-stream"),
        )),
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Error> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (first, more) = (encodings.next(), encodings.next());
    let word = first.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    match (word.as_deref(), more) {
        (None | Some("" | "identity"), None) => Ok(false),
        (Some("gzip" | "x-gzip"), None) => Ok(true),
        _ => Err(Error::new(Reason::UnsupportedMediaType, "content-encoding must be gzip, identity or absent")),
    }
}

#[cfg(test)]
mod tests;
