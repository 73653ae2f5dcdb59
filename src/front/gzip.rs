//! gzip bodies, expanded within a bound.

use crate::error::{Error, Reason};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// Compressed bodies up to this size are expanded where they are: deflate grows at most about a
/// thousandfold, so this is a megabyte at worst.
pub(super) const INLINE: usize = 1 << 10;

/// Expands `compressed` to at most `max` bytes.
///
/// # Errors
/// `too_large` as soon as the bound is passed; `invalid_request` when it is not gzip.
pub(super) fn expand(compressed: &[u8], max: usize) -> Result<Bytes, Error> {
    let mut whole = Vec::with_capacity(compressed.len().saturating_mul(4).min(max));
    // One byte more than allowed tells "exactly full" from "too much".
    let bound = (max as u64).saturating_add(1);
    MultiGzDecoder::new(compressed)
        .take(bound)
        .read_to_end(&mut whole)
        .map_err(|e| Error::invalid(format!("the body is not valid gzip: {e}")))?;
    if whole.len() > max {
        return Err(Error::new(
            Reason::TooLarge,
            format!("the body expands to more than {max} bytes, the most that are taken (max_body_bytes)"),
        ));
    }
    Ok(whole.into())
}

#[cfg(test)]
pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(plain, flate2::Compression::fast());
    let mut compressed = Vec::new();
    encoder.read_to_end(&mut compressed).unwrap();
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_exact() {
        let compressed = compress(&[7; 100]);
        assert_eq!(expand(&compressed, 100).unwrap().len(), 100);
        assert_eq!(expand(&compressed, 99).unwrap_err().reason, Reason::TooLarge);
    }

    #[test]
    fn a_bomb_is_refused_and_garbage_is_invalid() {
        let bomb = compress(&vec![0; 8 << 20]);
        assert!(bomb.len() < 64 << 10);
        assert_eq!(expand(&bomb, 1 << 20).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(expand(b"not gzip", 100).unwrap_err().reason, Reason::InvalidRequest);
        assert_eq!(expand(&compress(b"cut short")[..12], 100).unwrap_err().reason, Reason::InvalidRequest);
    }
}
