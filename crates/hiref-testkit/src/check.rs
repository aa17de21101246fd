//! Does a result hold what it claims?

use crate::UNMATCHED;
use crate::cost::Cost;

/// What a solver claims. Every field is optional here because a solver may forget one; [`check_coupling`] then fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claim<'a> {
    /// The supports x `(n, d)` and y `(m, d)`, row-major.
    pub supports: Option<(&'a [f32], &'a [f32])>,
    /// Number of coordinates, d.
    pub dimension: Option<usize>,
    /// The cost.
    pub cost: Option<Cost>,
    /// `(n,)`: the y partner of each x point, [`UNMATCHED`] where there is none.
    pub y_of_x: Option<&'a [u32]>,
    /// Number of pairs.
    pub num_pairs: Option<usize>,
    /// Mean cost over the pairs.
    pub mean_cost: Option<f64>,
}

/// What was found to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Mean cost over the pairs, recomputed in f64.
    pub mean_cost: f64,
    /// The largest cost of one pair.
    pub largest_cost: f64,
    /// `(m,)`: the x partner of each y point, [`UNMATCHED`] where there is none.
    pub x_of_y: Vec<u32>,
}

/// Checks a claimed coupling: nothing missing, indices in range, no y point used twice, every point of the smaller side
/// matched, the number of pairs right, and the mean cost recomputed from the points equal to 1e-12 of the pairs' mean
/// absolute cost (plus what rounding of the single costs explains).
///
/// # Errors
/// The first claim that does not hold, in words.
///
/// ```
/// use hiref_testkit::{Claim, Cost, check_coupling};
/// let claim = Claim {
///     supports: Some((&[0.0, 1.0], &[1.0, 0.0])),
///     dimension: Some(1),
///     cost: Some(Cost::Euclidean),
///     y_of_x: Some(&[1, 0]),
///     num_pairs: Some(2),
///     mean_cost: Some(0.0),
/// };
/// assert_eq!(check_coupling(&claim).unwrap().x_of_y, [1, 0]);
/// assert!(check_coupling(&Claim { mean_cost: None, ..claim }).is_err());
/// assert!(check_coupling(&Claim { y_of_x: Some(&[0, 0]), ..claim }).is_err());
/// ```
pub fn check_coupling(claim: &Claim<'_>) -> Result<Verified, String> {
    let (x, y) = claim.supports.ok_or("`supports` is missing")?;
    let d = claim.dimension.ok_or("`dimension` is missing")?;
    let cost = claim.cost.ok_or("`cost` is missing")?;
    let y_of_x = claim.y_of_x.ok_or("`y_of_x` is missing")?;
    let num_pairs = claim.num_pairs.ok_or("`num_pairs` is missing")?;
    let claimed = claim.mean_cost.ok_or("`mean_cost` is missing")?;

    if d == 0 || x.is_empty() || y.is_empty() || !x.len().is_multiple_of(d) || !y.len().is_multiple_of(d) {
        return Err(format!("{} and {} values are no points of {d} coordinates", x.len(), y.len()));
    }
    let (n, m) = (x.len() / d, y.len() / d);
    if y_of_x.len() != n {
        return Err(format!("`y_of_x` has {} entries, expected {n}", y_of_x.len()));
    }
    let mut x_of_y = vec![UNMATCHED; m];
    let (mut pairs, mut total, mut magnitude, mut largest) = (0, 0.0, 0.0, f64::NEG_INFINITY);
    for (i, &j) in y_of_x.iter().enumerate() {
        if j == UNMATCHED {
            continue;
        }
        let slot = x_of_y.get_mut(j as usize).ok_or_else(|| format!("x {i} is paired with y {j}, but m = {m}"))?;
        if *slot != UNMATCHED {
            return Err(format!("y {j} is paired with both x {slot} and x {i}"));
        }
        *slot = i as u32;
        pairs += 1;
        let (a, b) = (&x[i * d..][..d], &y[j as usize * d..][..d]);
        let value = cost.between(a, b);
        total += value;
        // A cosine near 0 is a difference of numbers near 1, an inner product a sum of terms of either sign.
        let terms = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum::<f64>();
        magnitude += match cost {
            Cost::SquaredEuclidean | Cost::Euclidean => value,
            Cost::Cosine => 1.0,
            Cost::NegativeInnerProduct => terms,
        };
        largest = f64::max(largest, value);
    }
    if pairs != n.min(m) {
        return Err(format!("{pairs} pairs, expected min({n}, {m})"));
    }
    if num_pairs != pairs {
        return Err(format!("{num_pairs} pairs claimed, {pairs} found"));
    }
    let mean_cost = total / pairs as f64;
    let tolerance = 1e-12 * magnitude / pairs as f64;
    let difference = (claimed - mean_cost).abs();
    // Written so that NaN fails.
    let agree = difference <= tolerance;
    if !agree {
        return Err(format!(
            "mean cost {claimed} claimed, {mean_cost} found: {difference:e} apart, {tolerance:e} allowed"
        ));
    }
    Ok(Verified { mean_cost, largest_cost: largest, x_of_y })
}

/// Fails unless `got` is `expected` to a relative `tolerance`, printing both differences.
///
/// # Panics
/// If they differ by more, or are not finite.
#[track_caller]
pub fn assert_relative(got: f64, expected: f64, tolerance: f64, what: &str) {
    let absolute = (got - expected).abs();
    let relative = absolute / expected.abs().max(f64::MIN_POSITIVE);
    assert!(
        absolute <= tolerance * expected.abs(),
        "{what}: got {got}, expected {expected}; differ by {absolute:e}, relative {relative:e}, allowed {tolerance:e}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f32; 6] = [0.0, 0.0, 1.0, 0.0, 0.0, 2.0];
    const Y: [f32; 4] = [1.0, 1.0, 0.0, 2.0];

    fn claim() -> Claim<'static> {
        Claim {
            supports: Some((&X, &Y)),
            dimension: Some(2),
            cost: Some(Cost::SquaredEuclidean),
            y_of_x: Some(&[UNMATCHED, 0, 1]),
            num_pairs: Some(2),
            mean_cost: Some(0.5),
        }
    }

    #[test]
    fn a_true_claim_holds() {
        let found = check_coupling(&claim()).unwrap();
        assert_eq!(found, Verified { mean_cost: 0.5, largest_cost: 1.0, x_of_y: vec![1, 2] });
    }

    #[test]
    fn each_false_claim_is_told() {
        let told = |claim: Claim<'_>, words: &str| {
            let message = check_coupling(&claim).unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        told(Claim { supports: None, ..claim() }, "`supports` is missing");
        told(Claim { dimension: None, ..claim() }, "`dimension` is missing");
        told(Claim { cost: None, ..claim() }, "`cost` is missing");
        told(Claim { y_of_x: None, ..claim() }, "`y_of_x` is missing");
        told(Claim { num_pairs: None, ..claim() }, "`num_pairs` is missing");
        told(Claim { mean_cost: None, ..claim() }, "`mean_cost` is missing");
        told(Claim { dimension: Some(4), ..claim() }, "no points of 4");
        told(Claim { y_of_x: Some(&[0, 1]), ..claim() }, "has 2 entries, expected 3");
        told(Claim { y_of_x: Some(&[0, 1, 2]), ..claim() }, "paired with y 2");
        told(Claim { y_of_x: Some(&[0, UNMATCHED, 0]), ..claim() }, "both x 0 and x 2");
        told(Claim { y_of_x: Some(&[UNMATCHED, UNMATCHED, 0]), ..claim() }, "1 pairs, expected");
        told(Claim { num_pairs: Some(3), ..claim() }, "3 pairs claimed");
        told(Claim { mean_cost: Some(0.5 + 1e-11), ..claim() }, "mean cost");
        told(Claim { mean_cost: Some(f64::NAN), ..claim() }, "mean cost");
    }
}
