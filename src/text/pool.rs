//! Token vectors to one vector a text, and its length to one.
//!
//! Decides the arithmetic alone: which rows and how many tokens are the caller's. Loops run over plain
//! slices of one vector's width, so that the compiler vectorises them.

use super::Pooling;

#[cfg(test)]
mod tests;

/// Pools one row's token vectors (`tokens`: its own length × `hidden`, padding excluded).
///
/// `mask`, as long as the row, leaves out the tokens where it is zero. A row without any token left
/// gives the zero vector. With [`Pooling::None`] the row holds one vector, which is the answer.
#[must_use]
pub fn pool(pooling: Pooling, tokens: &[f32], hidden: usize, mask: Option<&[i64]>) -> Vec<f32> {
    if hidden == 0 {
        return Vec::new();
    }
    let kept = |&(i, _): &(usize, &[f32])| mask.is_none_or(|mask| mask.get(i).is_some_and(|&m| m != 0));
    let mut rows = tokens.chunks_exact(hidden).enumerate().filter(kept).map(|(_, row)| row);
    let one = match pooling {
        Pooling::Mean => return mean(rows, hidden),
        Pooling::Cls => rows.next(),
        Pooling::Last => rows.next_back(),
        Pooling::None => tokens.get(..hidden),
    };
    one.map_or_else(|| vec![0.0; hidden], <[f32]>::to_vec)
}

/// Scales `vector` to Euclidean length one; a zero vector stays zero.
pub fn normalize(vector: &mut [f32]) {
    let norm = sum_of_squares(vector).sqrt();
    if norm > 0.0 {
        let scale = 1.0 / norm;
        for value in vector {
            *value = narrow(f64::from(*value) * scale);
        }
    }
}

fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, hidden: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; hidden];
    let mut count = 0.0_f32;
    for row in rows {
        for (total, value) in sum.iter_mut().zip(row) {
            *total += value;
        }
        count += 1.0;
    }
    if count > 0.0 {
        let scale = 1.0 / count;
        sum.iter_mut().for_each(|total| *total *= scale);
    }
    sum
}

/// In double precision, so that neither long vectors nor large values lose the answer, and in
/// independent lanes, because a single running sum cannot be vectorised.
fn sum_of_squares(vector: &[f32]) -> f64 {
    const LANES: usize = 8;
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut lanes = [0.0_f64; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    let tail: f64 = rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    lanes.iter().sum::<f64>() + tail
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest f32 is the purpose")]
fn narrow(value: f64) -> f32 {
    value as f32
}
