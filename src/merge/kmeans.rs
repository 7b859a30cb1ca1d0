//! k-means of plain numbers: the start of the Beta mixture.

use super::random::Draws;

/// Lloyd rounds at most; in one dimension they settle long before.
const ROUNDS_MAX: usize = 300;

/// Cluster index of each number, below `k`: k-means++ seeding, then Lloyd rounds until no number changes.
///
/// The nearest centre wins, the lower of equals; a centre that lost all its numbers stays where it is. Sums run
/// in the order of the numbers. The plain seeding takes the place of the reference library's, whose random
/// stream is not reproduced (choice).
pub(super) fn labels(xs: &[f64], k: usize, seed: u64) -> Vec<usize> {
    let mut labels = vec![0; xs.len()];
    let mut centres = seeds(xs, k, seed);
    for _ in 0..ROUNDS_MAX {
        let mut moved = false;
        for (label, &x) in labels.iter_mut().zip(xs) {
            let near = nearest(&centres, x);
            moved |= near != *label;
            *label = near;
        }
        if !moved {
            break;
        }
        let mut sums = vec![(0.0, 0_usize); centres.len()];
        for (&label, &x) in labels.iter().zip(xs) {
            sums[label].0 += x;
            sums[label].1 += 1;
        }
        for (centre, (sum, n)) in centres.iter_mut().zip(sums) {
            if n > 0 {
                *centre = sum / n as f64;
            }
        }
    }
    labels
}

/// At most `k` distinct numbers to start from; fewer when there are fewer.
///
/// Draw 0 of the stream `kmeans` picks the first uniformly; draw j picks the next with probability proportional
/// to the squared distance from the nearest so far: the first number at which the running sum exceeds the draw
/// times the total.
fn seeds(xs: &[f64], k: usize, seed: u64) -> Vec<f64> {
    let draws = Draws::new(seed, "kmeans");
    let Some(&first) = xs.get((draws.uniform(0) * xs.len() as f64) as usize) else {
        return Vec::new();
    };
    let mut centres = vec![first];
    while centres.len() < k {
        let squares: Vec<f64> = xs.iter().map(|&x| (x - centres[nearest(&centres, x)]).powi(2)).collect();
        let threshold = draws.uniform(centres.len() as u64) * squares.iter().sum::<f64>();
        let mut running = 0.0;
        let chosen = xs.iter().zip(squares).find(|&(_, square)| {
            running += square;
            running > threshold
        });
        let Some((&next, _)) = chosen else { break };
        centres.push(next);
    }
    centres
}

/// Index of the centre nearest to `x`, the lower of equals.
fn nearest(centres: &[f64], x: f64) -> usize {
    let mut best = 0;
    for (j, centre) in centres.iter().enumerate().skip(1) {
        if (x - centre).abs() < (x - centres[best]).abs() {
            best = j;
        }
    }
    best
}
