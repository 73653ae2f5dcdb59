//! `BYTES` tensors: between the v2 binary form and a list of elements.
//!
//! Decides nothing. Knows only the form: each element behind its length as four little-endian bytes.

use super::Failure;
use bytes::Bytes;

/// Cuts a `BYTES` tensor's data into its elements, without copying them.
pub(super) fn decode(data: &Bytes) -> Result<Vec<Bytes>, Failure> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let start = at + 4;
        let length = data.get(at..start).and_then(|l| l.try_into().ok()).map(u32::from_le_bytes);
        let end = length.and_then(|l| start.checked_add(usize::try_from(l).ok()?)).filter(|end| *end <= data.len());
        let end = end.ok_or_else(|| Failure::Failed("a BYTES tensor ends inside an element".into()))?;
        elements.push(data.slice(start..end));
        at = end;
    }
    Ok(elements)
}

/// Joins elements into a `BYTES` tensor's data.
pub(super) fn encode<T: AsRef<[u8]>>(elements: &[T]) -> Bytes {
    let mut data = Vec::with_capacity(elements.iter().map(|e| 4 + e.as_ref().len()).sum());
    for element in elements {
        let element = element.as_ref();
        data.extend_from_slice(&u32::try_from(element.len()).unwrap_or(u32::MAX).to_le_bytes());
        data.extend_from_slice(element);
    }
    data.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let elements = ["one", "", "three"];
        let decoded = decode(&encode(&elements)).unwrap();
        assert_eq!(decoded, elements);
    }

    #[test]
    fn a_truncated_tensor_is_refused() {
        for bad in [&[1, 0, 0][..], &[4, 0, 0, 0, b'a'], &[0xff; 6]] {
            assert!(decode(&Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }
}
