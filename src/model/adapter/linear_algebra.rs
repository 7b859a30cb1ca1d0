//! Two projections of a matrix, in doubles.
//!
//! Matrices are row-major. There is no decomposition here that a library would do better at this size: both needs are a small
//! orthonormal basis, and a product with it.

/// Matrices up to this side are decomposed as a whole.
const SMALL: usize = 96;
/// More columns than wanted are iterated: the subspace then turns by the gap behind them, not by the one behind the rank.
const EXTRA: usize = 24;
const MAX_ROUNDS: usize = 3000;
/// Change of a round, relative to the matrix, at which the subspace stands still.
const STILL: f64 = 1e-13;
const MAX_SWEEPS: usize = 60;

/// The matrix of `rank` that is closest to `matrix`, `[rows, columns]`; `None` where the iteration does not settle.
pub(super) fn best_approximation(matrix: &[f64], rows: usize, rank: usize) -> Option<Vec<f64>> {
    let columns = matrix.len() / rows;
    if rows > columns {
        let turned = transposed(matrix, rows);
        return Some(transposed(&best_approximation(&turned, columns, rank)?, columns));
    }
    let gram = product_with_transposed(matrix, rows);
    let basis = leading(&gram, rows, rank)?;
    Some(projected(&basis, rank, matrix, rows))
}

/// `matrix` projected on the span of its first `rank` columns: the first columns of Q times the first rows of R.
pub(super) fn on_first_columns(matrix: &[f64], rows: usize, rank: usize) -> Vec<f64> {
    let columns = matrix.len() / rows;
    let mut basis: Vec<f64> =
        matrix.chunks_exact(columns).flat_map(|row| row[..rank].iter().copied()).collect();
    orthonormalise(&mut basis, rank);
    projected(&basis, rank, matrix, rows)
}

/// `basis basis^T matrix`; the basis is `[rows, rank]` with orthonormal columns.
fn projected(basis: &[f64], rank: usize, matrix: &[f64], rows: usize) -> Vec<f64> {
    let columns = matrix.len() / rows;
    let mut inner = vec![0.0; rank * columns];
    for (row, weights) in matrix.chunks_exact(columns).zip(basis.chunks_exact(rank)) {
        for (out, weight) in inner.chunks_exact_mut(columns).zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    let mut out = vec![0.0; matrix.len()];
    for (out, weights) in out.chunks_exact_mut(columns).zip(basis.chunks_exact(rank)) {
        for (row, weight) in inner.chunks_exact(columns).zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

fn transposed(matrix: &[f64], rows: usize) -> Vec<f64> {
    let columns = matrix.len() / rows;
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

fn product_with_transposed(matrix: &[f64], rows: usize) -> Vec<f64> {
    let columns = matrix.len() / rows;
    let row = |index: usize| &matrix[index * columns..(index + 1) * columns];
    let mut gram = vec![0.0; rows * rows];
    for i in 0..rows {
        for j in 0..=i {
            let dot: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
            (gram[i * rows + j], gram[j * rows + i]) = (dot, dot);
        }
    }
    gram
}

/// The eigenvectors of the `rank` largest eigenvalues of a symmetric matrix, as columns of `[n, rank]`.
fn leading(matrix: &[f64], n: usize, rank: usize) -> Option<Vec<f64>> {
    if n <= SMALL.max(rank + EXTRA) {
        let (values, vectors) = eigen(matrix.to_vec(), n);
        return Some(columns_of_largest(&values, &vectors, n, rank));
    }
    let width = rank + EXTRA.max(rank);
    let width = width.min(n);
    // Any start that is not orthogonal to what is looked for.
    let mut basis: Vec<f64> =
        (0..n * width).map(|i| ((i as f64 + 1.0) * 0.618_033_988_749_895).fract() - 0.5).collect();
    orthonormalise(&mut basis, width);
    let mut before = vec![0.0; rank];
    for _ in 0..MAX_ROUNDS {
        let mut next = times(matrix, &basis, n, width);
        let (values, vectors) = eigen(inner_product(&basis, &next, width), width);
        let order = columns_of_largest(&values, &vectors, width, width);
        next = times_small(&next, &order, width);
        orthonormalise(&mut next, width);
        let turn = turned(&basis_of(&basis, &order, width, rank), &next, width, rank);
        basis = next;
        let mut sorted = values;
        sorted.sort_by(|a, b| b.total_cmp(a));
        let largest = sorted[0].abs().max(f64::MIN_POSITIVE);
        let moved = before.iter().zip(&sorted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        before.copy_from_slice(&sorted[..rank]);
        if moved <= STILL * largest && turn <= 1e-10 {
            return Some(first_columns(&basis, width, rank));
        }
    }
    None
}

/// `matrix basis`.
fn times(matrix: &[f64], basis: &[f64], n: usize, width: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * width];
    for (out, weights) in out.chunks_exact_mut(width).zip(matrix.chunks_exact(n)) {
        for (row, weight) in basis.chunks_exact(width).zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

/// `left^T right`, both `[n, width]`.
fn inner_product(left: &[f64], right: &[f64], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; width * width];
    for (left, right) in left.chunks_exact(width).zip(right.chunks_exact(width)) {
        for (out, weight) in out.chunks_exact_mut(width).zip(left) {
            out.iter_mut().zip(right).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

/// `basis small`, `[n, width]` times `[width, width]`.
fn times_small(basis: &[f64], small: &[f64], width: usize) -> Vec<f64> {
    let mut out = vec![0.0; basis.len()];
    for (out, weights) in out.chunks_exact_mut(width).zip(basis.chunks_exact(width)) {
        for (row, weight) in small.chunks_exact(width).zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
    out
}

fn basis_of(basis: &[f64], order: &[f64], width: usize, rank: usize) -> Vec<f64> {
    first_columns(&times_small(basis, order, width), width, rank)
}

fn first_columns(matrix: &[f64], width: usize, rank: usize) -> Vec<f64> {
    matrix.chunks_exact(width).flat_map(|row| row[..rank].iter().copied()).collect()
}

/// How far the span of the first columns of `next` is from that of `basis`: the largest part of a column outside.
fn turned(basis: &[f64], next: &[f64], width: usize, rank: usize) -> f64 {
    let next = first_columns(next, width, rank);
    let inside = projected(basis, rank, &next, next.len() / rank);
    next.iter().zip(&inside).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Makes the columns of `[n, width]` orthonormal, first to last; twice, as once leaves what rounding brought in.
fn orthonormalise(matrix: &mut [f64], width: usize) {
    let n = matrix.len() / width;
    for column in 0..width {
        for _ in 0..2 {
            for before in 0..column {
                let dot: f64 =
                    (0..n).map(|row| matrix[row * width + column] * matrix[row * width + before]).sum();
                (0..n).for_each(|row| matrix[row * width + column] -= dot * matrix[row * width + before]);
            }
        }
        let length = (0..n).map(|row| matrix[row * width + column].powi(2)).sum::<f64>().sqrt();
        // A column inside the span of those before it adds nothing to a projection.
        let scale = if length > 1e-300 { length.recip() } else { 0.0 };
        (0..n).for_each(|row| matrix[row * width + column] *= scale);
    }
}

/// The eigenvectors in the order of their eigenvalues, largest first, as columns of `[n, rank]`.
fn columns_of_largest(values: &[f64], vectors: &[f64], n: usize, rank: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    (0..n).flat_map(|row| order[..rank].iter().map(move |column| vectors[row * n + column])).collect()
}

/// Eigenvalues and eigenvectors, as columns, of a symmetric matrix, by Jacobi's rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i] * a[i]).sum();
        let on: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-32 * on {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                rotate(&mut a, &mut vectors, n, (p, q), (c, t * c));
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize), (c, s): (f64, f64)) {
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
        let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
        (vectors[k * n + p], vectors[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, salt: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + 1.0) * salt).sin()).collect()
    }

    /// The error of the best approximation is the rest of the singular values, so no other projection of the rank has less.
    #[test]
    fn the_closest_matrix_is_found_by_both_ways() {
        for (rows, columns, rank) in [(5, 8, 2), (30, 20, 4), (130, 140, 3)] {
            // Singular values that fall by a third each, behind random rotations.
            let mut left = wave(rows * 8, 0.77);
            let mut right = wave(columns * 8, 1.31);
            orthonormalise(&mut left, 8.min(rows));
            let width = 8.min(rows);
            right.truncate(columns * width);
            left.truncate(rows * width);
            orthonormalise(&mut left, width);
            orthonormalise(&mut right, width);
            let value = |k: usize| 3.0_f64.powi(-(k as i32));
            let of = |n_values: usize| -> Vec<f64> {
                let entry = |i: usize, j: usize| -> f64 {
                    (0..n_values).map(|k| value(k) * left[i * width + k] * right[j * width + k]).sum()
                };
                (0..rows * columns).map(|at| entry(at / columns, at % columns)).collect()
            };
            let (matrix, wanted) = (of(width), of(rank));
            let found = best_approximation(&matrix, rows, rank).expect("a gap");
            let worst = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-9, "{rows} x {columns}: {worst:e}");
        }
    }

    #[test]
    fn a_projection_on_all_columns_is_the_matrix() {
        let matrix = wave(6 * 9, 0.9);
        let all = on_first_columns(&matrix, 6, 6);
        assert!(matrix.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-12));
        let one = on_first_columns(&matrix, 6, 1);
        // The first column is its own projection.
        assert!((0..6).all(|row| (one[row * 9] - matrix[row * 9]).abs() < 1e-12));
    }
}
