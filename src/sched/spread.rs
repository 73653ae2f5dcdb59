//! How the scheduler's tables spread their keys: ids that the process counts up itself, and names that
//! policies and keys give. Whoever sends requests can look up in these tables, but puts nothing of
//! their own choice into them, so that a hash that is quick will do.

use std::hash::{BuildHasherDefault, Hasher};

/// For `HashMap`.
pub(super) type Spread = BuildHasherDefault<Mixer>;

/// Multiplies and rotates.
#[derive(Debug, Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // The table takes its places from the low bits, of which a product mixes least.
        self.0.rotate_left(26)
    }
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        self.write_u64(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        // Fibonacci hashing.
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    #[test]
    fn names_and_numbers_spread_over_a_table() {
        let places = |hashes: &mut dyn Iterator<Item = u64>| hashes.map(|h| h % 4096).collect::<HashSet<_>>().len();
        let hash = Spread::default();
        // Of 1000 places out of 4096 at random, 887 differ in the mean.
        assert!(places(&mut (0..1000_u64).map(|i| hash.hash_one(i))) > 800);
        assert!(places(&mut (0..1000).map(|i| hash.hash_one(format!("tenant-{i}").as_str()))) > 800);
        assert!(places(&mut (0..1000).map(|i| hash.hash_one(format!("{i}-and-a-long-name").as_str()))) > 800);
    }
}
