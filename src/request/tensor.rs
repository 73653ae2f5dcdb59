//! Tensors, and how their elements lie in bytes.
//!
//! Decides nothing. Knows the v2 binary form of `BYTES` and the floating-point datatypes.

use crate::model::Datatype;
use bytes::Bytes;
use half::{bf16, f16};
use std::borrow::Cow;

/// A dense tensor: row-major, little-endian, or for [`Datatype::Bytes`] each element behind its
/// length as four little-endian bytes (the v2 binary form).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// Element type.
    pub datatype: Datatype,
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Bytes,
}

/// What is wrong with an element of `BYTES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadElement {
    /// The data ends before the element does.
    #[error("BYTES data ends inside an element")]
    CutShort,
    /// Its length does not fit in four bytes.
    #[error("a BYTES element is longer than 4 GiB")]
    TooLong,
}

/// The elements of `BYTES` data. Nothing follows an error.
pub fn elements(data: &[u8]) -> impl Iterator<Item = Result<&[u8], BadElement>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.split_first_chunk::<4>().and_then(|(length, tail)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            tail.split_at_checked(length)
        });
        let element = cut.map(|(element, _)| element).ok_or(BadElement::CutShort);
        rest = cut.map_or(&[], |(_, tail)| tail);
        Some(element)
    })
}

/// The elements of `BYTES` data, each a view of it.
///
/// # Errors
/// [`BadElement::CutShort`].
pub fn split_elements(data: &Bytes) -> Result<Vec<Bytes>, BadElement> {
    elements(data).map(|element| element.map(|element| data.slice_ref(element))).collect()
}

/// Appends one element to `BYTES` data.
///
/// # Errors
/// [`BadElement::TooLong`].
pub fn push_element(data: &mut Vec<u8>, element: &[u8]) -> Result<(), BadElement> {
    let length = u32::try_from(element.len()).map_err(|_| BadElement::TooLong)?;
    data.extend_from_slice(&length.to_le_bytes());
    data.extend_from_slice(element);
    Ok(())
}

/// Elements as `BYTES` data.
///
/// # Errors
/// [`BadElement::TooLong`].
pub fn join_elements<T: AsRef<[u8]>>(elements: &[T]) -> Result<Bytes, BadElement> {
    let mut data = Vec::with_capacity(elements.iter().map(|element| 4 + element.as_ref().len()).sum());
    for element in elements {
        push_element(&mut data, element.as_ref())?;
    }
    Ok(data.into())
}

/// Floating-point data in single precision, borrowed where it already is; `None` for other datatypes.
#[must_use]
pub fn floats(datatype: Datatype, data: &[u8]) -> Option<Cow<'_, [f32]>> {
    fn each<const N: usize>(data: &[u8], element: impl Fn([u8; N]) -> f32) -> Cow<'_, [f32]> {
        data.as_chunks().0.iter().map(|bytes| element(*bytes)).collect()
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is the purpose")]
    let narrow = |bytes| f64::from_le_bytes(bytes) as f32;
    Some(match datatype {
        Datatype::Fp32 => bytemuck::try_cast_slice(data).map_or_else(|_| each(data, f32::from_le_bytes), Cow::Borrowed),
        Datatype::Fp64 => each(data, narrow),
        Datatype::Fp16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Datatype::Bf16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_as_they_went_in() {
        let words = ["one", "", "three"];
        let data = join_elements(&words).unwrap();
        assert_eq!(split_elements(&data).unwrap(), words);
        assert_eq!(split_elements(&Bytes::new()).unwrap(), [""; 0]);
    }

    #[test]
    fn data_that_ends_inside_an_element_is_refused() {
        for bad in [&[1, 0, 0][..], &[4, 0, 0, 0, b'a'], &[0xff; 6], &[0, 0, 0, 0, 1]] {
            assert_eq!(split_elements(&Bytes::copy_from_slice(bad)), Err(BadElement::CutShort), "{bad:?}");
            assert!(elements(bad).last().unwrap().is_err(), "nothing follows an error");
        }
    }

    #[test]
    fn every_floating_point_datatype_is_read_wherever_it_lies() {
        let numbers = [0.5_f32, -2.0, 65_504.0];
        let check = |datatype, data: Vec<u8>| {
            assert_eq!(*floats(datatype, &data).unwrap(), numbers, "{datatype:?}");
            let shifted = [&[0], &*data].concat();
            assert_eq!(*floats(datatype, &shifted[1..]).unwrap(), numbers, "{datatype:?}");
        };
        check(Datatype::Fp32, numbers.iter().flat_map(|n| n.to_le_bytes()).collect());
        check(Datatype::Fp64, numbers.iter().flat_map(|n| f64::from(*n).to_le_bytes()).collect());
        check(Datatype::Fp16, numbers.iter().flat_map(|n| f16::from_f32(*n).to_le_bytes()).collect());
        assert_eq!(*floats(Datatype::Bf16, &bf16::from_f32(-2.0).to_le_bytes()).unwrap(), [-2.0]);
        assert_eq!(floats(Datatype::Int32, &[0; 4]), None);
    }
}
