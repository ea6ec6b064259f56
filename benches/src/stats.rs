//! Percentiles of one run, medians of several.

use std::time::Duration;

/// How long messages took, each kept as it was measured.
#[derive(Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one.
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The values at these shares (0 to 1) of the sorted measurements, in milliseconds; zeros if nothing was measured.
    pub(crate) fn percentiles<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        shares.map(|share| f64::from(nearest_rank(&self.0, share).copied().unwrap_or(0)) / 1000.0)
    }
}

/// The smallest value that at least `share` of the sorted values do not exceed.
fn nearest_rank<T>(sorted: &[T], share: f64) -> Option<&T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1)
}

/// The middle value, or the mean of the two in the middle; `NaN` of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let mut latencies = Latencies::default();
        for milliseconds in (1..=100).rev() {
            latencies.push(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.percentiles([0.0, 0.5, 0.99, 1.0]), [1.0, 50.0, 99.0, 100.0]);
    }

    #[test]
    fn few_values_have_percentiles_too() {
        assert_eq!(Latencies::default().percentiles([0.5, 1.0]), [0.0, 0.0]);
        let mut one = Latencies::default();
        one.push(Duration::from_micros(1500));
        assert_eq!(one.percentiles([0.01, 0.5, 1.0]), [1.5, 1.5, 1.5]);
        assert_eq!(nearest_rank(&[1, 2, 3], 0.99), Some(&3));
        assert_eq!(nearest_rank(&[1, 2, 3], 0.34), Some(&2));
    }

    #[test]
    fn the_median_does_not_depend_on_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }
}
