//! Pad values: a number as the bytes of any datatype.
//!
//! Decides how a pad value is rounded. Knows nothing of shapes.

use crate::model::Datatype;
use half::{bf16, f16};

/// The little-endian bytes of one pad element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pattern {
    bytes: [u8; 8],
    size: usize,
}

/// The bytes of `value` as an element of `datatype`: saturated to integers, rounded to floats.
pub(super) fn pattern(datatype: Datatype, value: f64) -> Pattern {
    let mut pattern = Pattern { bytes: [0; 8], size: datatype.size().unwrap_or(0) };
    let mut put = |bytes: &[u8]| pattern.bytes[..bytes.len()].copy_from_slice(bytes);
    match datatype {
        Datatype::Bool => put(&[u8::from(value != 0.0)]),
        Datatype::Uint8 => put(&(value as u8).to_le_bytes()),
        Datatype::Uint16 => put(&(value as u16).to_le_bytes()),
        Datatype::Uint32 => put(&(value as u32).to_le_bytes()),
        Datatype::Uint64 => put(&(value as u64).to_le_bytes()),
        Datatype::Int8 => put(&(value as i8).to_le_bytes()),
        Datatype::Int16 => put(&(value as i16).to_le_bytes()),
        Datatype::Int32 => put(&(value as i32).to_le_bytes()),
        Datatype::Int64 => put(&(value as i64).to_le_bytes()),
        Datatype::Fp16 => put(&f16::from_f64(value).to_le_bytes()),
        Datatype::Bf16 => put(&bf16::from_f64(value).to_le_bytes()),
        Datatype::Fp32 => put(&(value as f32).to_le_bytes()),
        Datatype::Fp64 => put(&value.to_le_bytes()),
        // Padded with empty elements instead.
        Datatype::Bytes => {}
    }
    pattern
}

/// Repeats the pattern over `target`, whose size is a multiple of the pattern's.
pub(super) fn fill(target: &mut [u8], pattern: Pattern) {
    let bytes = &pattern.bytes[..pattern.size];
    match bytes.iter().all(|b| *b == 0) {
        true => target.fill(0),
        false => target.chunks_exact_mut(pattern.size).for_each(|element| element.copy_from_slice(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_has_a_pattern_of_its_own_size() {
        for datatype in Datatype::ALL.into_iter().filter(|d| d.size().is_some()) {
            assert_eq!(pattern(datatype, 1.0).size, datatype.size().unwrap(), "{datatype:?}");
        }
        assert_eq!(pattern(Datatype::Bool, 3.0).bytes[0], 1);
        assert_eq!(pattern(Datatype::Fp16, 1.0).bytes[..2], [0x00, 0x3c]);
        assert_eq!(pattern(Datatype::Bf16, 1.0).bytes[..2], [0x80, 0x3f]);
        assert_eq!(pattern(Datatype::Int64, -100.0).bytes, (-100_i64).to_le_bytes());
    }

    #[test]
    fn fills_with_the_pattern() {
        let mut target = [9; 6];
        fill(&mut target, pattern(Datatype::Int16, 258.0));
        assert_eq!(target, [2, 1, 2, 1, 2, 1]);
        fill(&mut target, pattern(Datatype::Fp64, 0.0));
        assert_eq!(target, [0; 6]);
    }
}
