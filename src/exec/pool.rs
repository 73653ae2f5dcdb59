//! Pooling: the token vectors of one row become one vector.
//!
//! Decides the arithmetic of each pooling. Does not know batches: a row comes without its padding.

use crate::text::Pooling;

/// Pools one row of `len × hidden` values, its own tokens only.
pub(super) fn pool(pooling: Pooling, row: &[f32], hidden: usize) -> Vec<f32> {
    let tokens = row.chunks_exact(hidden.max(1));
    match pooling {
        Pooling::Mean => {
            let count = tokens.len().max(1) as f32;
            let mut sum = vec![0.0_f32; hidden];
            for token in tokens {
                sum.iter_mut().zip(token).for_each(|(s, v)| *s += v);
            }
            sum.iter_mut().for_each(|s| *s /= count);
            sum
        }
        Pooling::Cls => row[..hidden].to_vec(),
        Pooling::Last => row[row.len() - hidden..].to_vec(),
        Pooling::None => row.to_vec(),
    }
}

/// Scales a vector to length one; a zero vector stays zero.
pub(super) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v /= length);
    }
}
