//! The seam for chance, and a seeded source for planning, rehearsals and tests.

/// A source of random numbers that is handed in.
///
/// Planning draws ids, MACs and tokens from one of these, so the same seed gives the same plan.
/// It is not for secrets: keys come from the operating system.
pub trait Chance {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;

    /// The next 128 bits.
    fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number from 0 up to but not including `bound`. `bound` must not be 0.
    fn below(&mut self, bound: u64) -> u64 {
        // The bias of a plain remainder is below 2^-32 for every bound that fits 32 bits, which
        // is enough for tie-breaking and jitter.
        self.next_u64() % bound
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
///
/// The same seed gives the same sequence on every machine and in every version of Updraft.
#[derive(Clone, Debug)]
pub struct SeededChance {
    state: u64,
}

impl SeededChance {
    /// A sequence that depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Chance for SeededChance {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        // First output for seed 0 as published with the reference implementation.
        assert_eq!(SeededChance::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }
}
