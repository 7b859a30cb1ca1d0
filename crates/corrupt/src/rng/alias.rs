//! Draws from a finite distribution in constant time (Walker, 1977; set-up by Vose, 1991).

/// A distribution over `0..256`, stored as equal slots of at most two outcomes each.
#[derive(Clone, Debug)]
pub(crate) struct Alias {
    slots: Vec<Slot>,
    shift: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Draws whose low bits are below this keep `first`.
    threshold: u32,
    first: u8,
    second: u8,
}

impl Alias {
    /// Prepares the distribution that gives outcome `o` the share `weight / sum of weights`.
    ///
    /// Shares are met to 2^-32. `weights` is not empty, has at most 2^16 items, and none is negative.
    pub(crate) fn new(weights: &[(u8, f64)]) -> Self {
        let n_slots = weights.len().next_power_of_two().max(2);
        let shift = 32 - n_slots.trailing_zeros();
        let total: f64 = weights.iter().map(|w| w.1).sum();
        let mut share: Vec<f64> = weights.iter().map(|w| w.1 / total * n_slots as f64).collect();
        share.resize(n_slots, 0.0);
        let outcome = |i: usize| weights.get(i).map_or(0, |w| w.0);

        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) = (0..n_slots).partition(|&i| share[i] < 1.0);
        let mut slots = vec![Slot::default(); n_slots];
        let full = (1u64 << shift) as f64;
        while let (Some(&giver), Some(&taker)) = (rich.last(), poor.last()) {
            poor.pop();
            let threshold = (share[taker] * full).round() as u32;
            slots[taker] = Slot { threshold, first: outcome(taker), second: outcome(giver) };
            share[giver] -= 1.0 - share[taker];
            if share[giver] < 1.0 {
                rich.pop();
                poor.push(giver);
            }
        }
        // What is left has a share of 1 up to rounding.
        for i in poor.into_iter().chain(rich) {
            slots[i] = Slot { threshold: 0, first: outcome(i), second: outcome(i) };
        }
        Self { slots, shift }
    }

    /// The outcome for 32 random bits.
    pub(crate) fn draw(&self, bits: u32) -> u8 {
        let slot = &self.slots[(bits >> self.shift) as usize];
        let low = bits & ((1 << self.shift) - 1);
        if low < slot.threshold { slot.first } else { slot.second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_carry_the_weights() {
        let weights = [(7, 0.125), (0, 3.0), (255, 1e-6), (7, 0.875), (9, 0.0)];
        let alias = Alias::new(&weights);
        let mut shares = [0.0; 256];
        for slot in &alias.slots {
            let kept = f64::from(slot.threshold) / (1u64 << alias.shift) as f64;
            shares[usize::from(slot.first)] += kept / alias.slots.len() as f64;
            shares[usize::from(slot.second)] += (1.0 - kept) / alias.slots.len() as f64;
        }
        for (outcome, share) in [(7, 1.0), (0, 3.0), (255, 1e-6), (9, 0.0)] {
            assert!((shares[outcome] - share / 4.000_001).abs() < 1e-9, "{outcome}");
        }
        assert_eq!(alias.draw(u32::MAX), alias.slots[alias.slots.len() - 1].second);
    }
}
