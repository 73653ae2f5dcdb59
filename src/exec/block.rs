//! Copies between dense blocks of different sizes: the one operation behind padding and trimming.
//!
//! Decides nothing. Knows neither datatypes nor models.

/// The number of elements of a shape; `None` where it overflows.
pub(super) fn volume(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))
}

/// Copies the corner that two row-major blocks have in common, the smaller size on every axis.
///
/// Into a larger block this is padding, into a smaller one trimming. `from` and `to` must have the
/// same rank and hold `volume` elements each.
pub(super) fn copy_corner<T: Clone>(from: &[T], from_dims: &[usize], to: &mut [T], to_dims: &[usize]) {
    let (Some((from_size, from_inner)), Some((to_size, to_inner))) = (from_dims.split_first(), to_dims.split_first())
    else {
        to.clone_from_slice(from);
        return;
    };
    let (from_step, to_step) = (from_inner.iter().product::<usize>(), to_inner.iter().product::<usize>());
    let common = *from_size.min(to_size);
    if from_inner == to_inner {
        to[..common * to_step].clone_from_slice(&from[..common * from_step]);
        return;
    }
    for i in 0..common {
        let (source, target) = (&from[i * from_step..][..from_step], &mut to[i * to_step..][..to_step]);
        copy_corner(source, from_inner, target, to_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_and_trims_any_axis() {
        let small = [1, 2, 3, 4, 5, 6];
        let mut large = [0; 12];
        copy_corner(&small, &[2, 3], &mut large, &[3, 4]);
        assert_eq!(large, [1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
        let mut back = [0; 6];
        copy_corner(&large, &[3, 4], &mut back, &[2, 3]);
        assert_eq!(back, small);
    }

    #[test]
    fn a_scalar_is_one_element() {
        let mut to = [0];
        copy_corner(&[7], &[], &mut to, &[]);
        assert_eq!(to, [7]);
    }

    #[test]
    fn an_empty_axis_copies_nothing() {
        let mut to = [9; 4];
        copy_corner(&[], &[2, 0], &mut to, &[2, 2]);
        assert_eq!(to, [9; 4]);
    }
}
