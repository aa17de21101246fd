//! How far pairs of one space stand out from their neighbourhoods.

use super::joint::ReferenceItems;
use crate::eval::{Best, Scores};
use candle_core::{Device, Result, Tensor};
use hiref_core::{CostKind, Problem};

/// Rows that are compared at a time.
const TILE: usize = 4096;

/// For each pair (x index, y index) `(p,)` its margin `r_i + r_j - 2 c_ij`: c is the problem's cost, `r_i` the mean cost of x
/// item i with its `neighbours` nearest y items, `r_j` that of y item j with its nearest x items.
///
/// High where the pair stands out from both neighbourhoods, negative where either item has many that are nearer. The cost alone
/// ranks pairs by how common their kind is: an ordinary item is near to everything. With scores in the place of costs this is
/// `2 s - r - r'` (cross-domain similarity local scaling); a score less what its rivals have filters web pairs better than the
/// score alone \[WCD24\].
///
/// *Complexity*: O((p + q) d · `reference.limit`) time, for p x and q y items; one tile of 4,096 rows in memory beside the reference items, which
/// are all items of a side or as many as that, drawn at random. *Determinism*: same bits for the same seed.
///
/// References: \[WCD24\] Wang et al., on data selection by CLIP losses less their normalisation (`negCLIPLoss`),
/// arXiv 2405.19547.
///
/// # Errors
/// A failed tensor operation.
///
/// # Panics
/// If an index is out of range.
pub fn pair_margins(
    problem: &Problem<'_>,
    (x, y): (&[u32], &[u32]),
    neighbours: usize,
    reference: ReferenceItems,
) -> Result<Vec<f32>> {
    let of_x = neighbourhood_costs(problem, x, neighbours, reference)?;
    let of_y = neighbourhood_costs(&problem.turned(), y, neighbours, reference)?;
    let (x_rows, y_rows) = (problem.x().rows(), problem.y().rows());
    let (x_rows, y_rows) = (x_rows.view(), y_rows.view());
    let pairs = x.iter().zip(y).zip(of_x.iter().zip(&of_y));
    Ok(pairs
        .map(|((&i, &j), (r_i, r_j))| {
            let cost = problem.cost().between(&x_rows.row(i as usize), &y_rows.row(j as usize));
            (r_i + r_j - 2.0 * cost) as f32
        })
        .collect())
}

/// The mean cost of each of the `items` of x with its nearest y items.
fn neighbourhood_costs(
    problem: &Problem<'_>,
    items: &[u32],
    neighbours: usize,
    reference: ReferenceItems,
) -> Result<Vec<f64>> {
    let (x, y, cost) = (problem.x().rows(), problem.y().rows(), problem.cost());
    let (x, y, dimension) = (x.view(), y.view(), problem.x().dimension());
    let chosen = reference.of(y.num_points(), 40).unwrap_or_else(|| (0..y.num_points() as u32).collect());
    let mut others = y.gather(&chosen);
    // Distances are found from inner products: about the mean, so that these are small.
    let mut mean = vec![0.0; dimension];
    if matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean) {
        for row in others.chunks(dimension) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / chosen.len() as f64);
        }
    }
    let squares = prepared(&mut others, &mean, cost);
    let others = Tensor::from_vec(others, (chosen.len(), dimension), &Device::Cpu)?;
    let mut means = Vec::with_capacity(items.len());
    for tile in items.chunks(TILE) {
        let mut own = x.gather(tile);
        let own_squares = prepared(&mut own, &mean, cost);
        let own = Tensor::from_vec(own, (tile.len(), dimension), &Device::Cpu)?;
        means.extend(Scores::new(&own, &others)?.map_rows(|i, row| {
            let mut best = Best::new(neighbours.min(row.len()));
            // Nearest first: by the inner product, less half of what the other's own length adds.
            row.iter().zip(&squares).enumerate().for_each(|(j, (s, square))| best.offer(s - 0.5 * square, j as u32));
            let best = best.sorted();
            let cost_of = |closeness: f32| {
                let squared = (f64::from(own_squares[i]) - 2.0 * f64::from(closeness)).max(0.0);
                match cost {
                    CostKind::SquaredEuclidean => squared,
                    CostKind::Euclidean => squared.sqrt(),
                    CostKind::Cosine => 1.0 - f64::from(closeness),
                    CostKind::NegativeInnerProduct => -f64::from(closeness),
                }
            };
            best.iter().map(|&(closeness, _)| cost_of(closeness)).sum::<f64>() / best.len().max(1) as f64
        })?);
    }
    Ok(means)
}

/// Brings rows to the coordinates in which the cost follows from inner products and squared lengths, which are returned: zero
/// where the cost does not ask for them.
fn prepared(rows: &mut [f32], mean: &[f64], cost: CostKind) -> Vec<f32> {
    let square = |row: &[f32]| row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
    let one = |row: &mut [f32]| match cost {
        CostKind::SquaredEuclidean | CostKind::Euclidean => {
            row.iter_mut().zip(mean).for_each(|(value, mean)| *value = (f64::from(*value) - mean) as f32);
            square(row) as f32
        }
        CostKind::Cosine => {
            let length = square(row).sqrt().max(f64::MIN_POSITIVE);
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
            0.0
        }
        CostKind::NegativeInnerProduct => 0.0,
    };
    rows.chunks_mut(mean.len()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hiref_core::rng;
    use rand::Rng;

    /// By the definition, with every cost computed on its own.
    #[test]
    fn margins_are_those_of_the_definition() {
        let mut generator = rng::stream(5, &[]);
        let mut points = |count: usize| {
            let values: Vec<f32> = (0..count * 6).map(|_| 3.0 + generator.random_range(-1.0f32..1.0)).collect();
            Tensor::from_vec(values, (count, 6), &Device::Cpu).unwrap()
        };
        let (x, y) = (points(30), points(40));
        let rows = |side: &Tensor| side.to_vec2::<f32>().unwrap();
        let (x_rows, y_rows) = (rows(&x), rows(&y));
        let pairs: (Vec<u32>, Vec<u32>) = ((0..30).collect(), (0..30).map(|i| i * 7 % 40).collect());
        for cost in CostKind::ALL {
            let problem = Problem::new(&x, &y, cost).unwrap();
            let reference = ReferenceItems { limit: 1000, seed: 0 };
            let found = pair_margins(&problem, (&pairs.0, &pairs.1), 4, reference).unwrap();
            let nearest = |costs: Vec<f64>| {
                let mut costs = costs;
                costs.sort_by(f64::total_cmp);
                costs[..4].iter().sum::<f64>() / 4.0
            };
            for (at, margin) in found.into_iter().enumerate() {
                let (a, b) = (&x_rows[pairs.0[at] as usize], &y_rows[pairs.1[at] as usize]);
                let of_x = nearest(y_rows.iter().map(|y| cost.between(a, y)).collect());
                let of_y = nearest(x_rows.iter().map(|x| cost.between(x, b)).collect());
                let expected = of_x + of_y - 2.0 * cost.between(a, b);
                assert!((f64::from(margin) - expected).abs() < 1e-4, "{cost} {at}: {margin} {expected}");
            }
        }
    }
}
