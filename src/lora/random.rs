//! Numbers that depend on a seed, a purpose and an index alone: what was drawn before does not
//! matter, so a run that is taken up again draws the same.
//!
//! The mixing is SplitMix64's (Steele, Lea, Flood, 2014).

/// Draws by index.
#[derive(Debug, Clone, Copy)]
pub struct Generator {
    key: u64,
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Generator {
    /// A generator for one purpose.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let key = purpose
            .bytes()
            .fold(mix(seed ^ GOLDEN), |key, byte| mix(key.wrapping_add(GOLDEN) ^ u64::from(byte)));
        Self { key }
    }

    /// A generator for part `index` of the purpose.
    #[must_use]
    pub fn part(self, index: u64) -> Self {
        Self { key: mix(self.key ^ mix(index.wrapping_add(GOLDEN))) }
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(self, index: u64) -> u64 {
        mix(self.key.wrapping_add(index.wrapping_mul(GOLDEN)))
    }

    /// Evenly in [0, 1).
    #[must_use]
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From the standard normal distribution (Box and Muller).
    #[must_use]
    pub fn normal(self, index: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(2 * index)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(2 * index + 1)).cos()
    }

    /// The numbers below `count` in random order.
    #[must_use]
    pub fn permutation(self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            let other = (self.uniform(last as u64) * (last + 1) as f64) as usize;
            order.swap(last, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_look_normal_and_repeat() {
        let generator = Generator::new(7, "test");
        let draws: Vec<f64> = (0..20_000).map(|index| generator.normal(index)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let square = draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64;
        let fourth = draws.iter().map(|draw| draw.powi(4)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((square - 1.0).abs() < 0.04, "{square}");
        assert!((fourth - 3.0).abs() < 0.3, "{fourth}");
        assert_eq!(draws[77].to_bits(), Generator::new(7, "test").normal(77).to_bits());
        assert_ne!(draws[77].to_bits(), Generator::new(7, "other").normal(77).to_bits());
        assert_ne!(draws[77].to_bits(), generator.part(0).normal(77).to_bits());
    }

    #[test]
    fn a_permutation_has_everything_once() {
        let mut order = Generator::new(1, "order").permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
