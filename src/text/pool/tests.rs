//! Hand-computed vectors, and the norm of anything.

use super::*;
use proptest::prelude::*;

const ROW: [f32; 6] = [1.0, 2.0, 3.0, 6.0, 5.0, -2.0];

#[test]
fn mean_is_the_mean_of_the_rows_own_tokens() {
    assert_eq!(pool(Pooling::Mean, &ROW, 2, None), [3.0, 2.0]);
    assert_eq!(pool(Pooling::Mean, &ROW[..2], 2, None), [1.0, 2.0]);
}

#[test]
fn masked_tokens_are_left_out() {
    assert_eq!(pool(Pooling::Mean, &ROW, 2, Some(&[1, 0, 1])), [3.0, 0.0]);
    assert_eq!(pool(Pooling::Cls, &ROW, 2, Some(&[0, 1, 1])), [3.0, 6.0]);
    assert_eq!(pool(Pooling::Last, &ROW, 2, Some(&[1, 1, 0])), [3.0, 6.0]);
    assert_eq!(pool(Pooling::Mean, &ROW, 2, Some(&[1])), [1.0, 2.0], "beyond the mask is masked");
}

#[test]
fn cls_last_and_none_take_one_vector() {
    assert_eq!(pool(Pooling::Cls, &ROW, 2, None), [1.0, 2.0]);
    assert_eq!(pool(Pooling::Last, &ROW, 2, None), [5.0, -2.0]);
    assert_eq!(pool(Pooling::None, &ROW, 6, None), ROW);
}

#[test]
fn no_token_left_is_the_zero_vector() {
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last, Pooling::None] {
        assert_eq!(pool(pooling, &[], 3, None), [0.0; 3]);
    }
    assert_eq!(pool(Pooling::Mean, &ROW, 2, Some(&[0, 0, 0])), [0.0; 2]);
    assert!(pool(Pooling::Mean, &ROW, 0, None).is_empty());
}

#[test]
fn normalize_gives_length_one() {
    let mut vector = [3.0, 4.0];
    normalize(&mut vector);
    assert_eq!(vector, [0.6, 0.8]);
}

#[test]
fn a_zero_vector_stays_zero() {
    let mut vector = [0.0; 11];
    normalize(&mut vector);
    assert_eq!(vector, [0.0; 11]);
}

#[test]
fn extreme_values_neither_overflow_nor_vanish() {
    for size in [f32::MAX, 1e-40] {
        let mut vector = [size, 0.0, -size, 0.0];
        normalize(&mut vector);
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert!((vector[0] - half).abs() < 1e-6 && (vector[2] + half).abs() < 1e-6, "{vector:?}");
    }
}

proptest! {
    #[test]
    fn the_norm_is_one_and_the_direction_stays(vector in prop::collection::vec(-1e6_f32..1e6, 1..900)) {
        let mut unit = vector.clone();
        normalize(&mut unit);
        let norm = unit.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let zero = vector.iter().all(|&v| v == 0.0);
        prop_assert!(zero || (norm - 1.0).abs() < 1e-6, "norm {norm}");
        prop_assert!(vector.iter().zip(&unit).all(|(a, b)| a * b >= 0.0));
    }

    #[test]
    fn the_mean_lies_between_the_least_and_the_largest(row in prop::collection::vec(-1e3_f32..1e3, 1..200)) {
        let mean = pool(Pooling::Mean, &row, 1, None)[0];
        let (low, high) = row.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        prop_assert!(mean >= low - 1e-2 && mean <= high + 1e-2);
    }
}
