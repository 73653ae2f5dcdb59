//! The binary tensor data extension: where the JSON ends, and whose bytes follow.

use super::elements::Shape;
use crate::error::Error;
use crate::model::Datatype;
use crate::request;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};

/// Says how many bytes of a body are JSON; the rest is tensor data.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The bytes of JSON that a body begins with; `None` where it is nothing else.
///
/// # Errors
/// `invalid_request` when the header is no number.
pub(super) fn json_length(headers: &HeaderMap) -> Option<Result<usize, Error>> {
    let length = headers.get(HEADER_LENGTH)?.to_str().ok().and_then(|v| v.trim().parse::<usize>().ok());
    Some(length.ok_or_else(|| Error::invalid(format!("header {HEADER_LENGTH} must be a whole number"))))
}

/// Splits a body into its JSON and the tensor data behind it.
///
/// # Errors
/// `invalid_request` when the header is no number or points past the body.
pub(super) fn split(headers: &HeaderMap, mut body: Bytes) -> Result<(Bytes, Blobs), Error> {
    let Some(length) = json_length(headers).transpose()? else {
        return Ok((body, Blobs { rest: Bytes::new() }));
    };
    if length > body.len() {
        let size = body.len();
        return Err(Error::invalid(format!("header {HEADER_LENGTH} says {length} bytes, the body has {size}")));
    }
    let rest = body.split_off(length);
    Ok((body, Blobs { rest }))
}

/// Tensor data not yet claimed, in the order of the inputs.
#[derive(Debug)]
pub(super) struct Blobs {
    rest: Bytes,
}

impl Blobs {
    /// Takes the next `size` bytes.
    ///
    /// # Errors
    /// A sentence that says how many are left.
    pub(super) fn take(&mut self, size: u64) -> Result<Bytes, String> {
        let left = self.rest.len();
        let short = || format!("binary_data_size is {size}, the body has {left} bytes of tensor data left");
        let size = usize::try_from(size).ok().filter(|&size| size <= left).ok_or_else(short)?;
        Ok(self.rest.split_to(size))
    }

    /// Refuses bytes that no input claimed.
    ///
    /// # Errors
    /// `invalid_request` with their number.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Error::invalid(format!("{left} bytes of tensor data belong to no input's binary_data_size"))),
        }
    }
}

/// Checks that `data` is exactly `count` elements.
///
/// # Errors
/// A sentence that names both sizes, or the element that is wrong.
pub(super) fn check(data: &[u8], datatype: Datatype, shape: &[usize], count: usize) -> Result<(), String> {
    let Some(size) = datatype.size() else {
        let found = request::elements(data)
            .try_fold(0_usize, |n, element| element.map(|_| n + 1))
            .map_err(|e| e.to_string())?;
        return same(found, count, shape);
    };
    let wanted = count.checked_mul(size);
    if wanted != Some(data.len()) {
        let (given, name, shape) = (data.len(), datatype.name(), Shape(shape));
        let wanted = wanted.map_or_else(|| "more".to_owned(), |w| w.to_string());
        return Err(format!("data has {given} bytes, {name} of shape {shape} needs {wanted}"));
    }
    if datatype == Datatype::Bool && data.iter().any(|&b| b > 1) {
        return Err("a BOOL must be the byte 0 or 1".to_owned());
    }
    Ok(())
}

fn same(found: usize, count: usize, shape: &[usize]) -> Result<(), String> {
    if found == count {
        return Ok(());
    }
    Err(format!("data has {found} elements, shape {} needs {count}", Shape(shape)))
}
