//! Products with the cost matrix, which is never stored.

use crate::iterations::Stop;
use crate::tiled_cost::{TiledCost, multiply};
use candle_core::{DType, Device, Result, Tensor};
use hiref_core::points::PointCloud;
use hiref_core::{CostKind, Problem};
use rayon::prelude::*;

/// The cost matrix as something to multiply with.
pub(super) enum CostOperator {
    /// `C = A Bᵀ`: `A (n, k)`, `B (m, k)`, f64; k = d + 2 for the squared Euclidean cost, d + 1 for the cosine, d for the
    /// inner product. A product costs O((n + m) k r).
    Factors { a: Tensor, b: Tensor },
    /// Tiles, for the Euclidean cost, which has no finite factors. A product costs O(n m (d + r)).
    Tiles { forward: Box<TiledCost>, backward: Box<TiledCost> },
}

impl CostOperator {
    pub(super) fn new(problem: &Problem<'_>) -> Result<Self> {
        let host = |points: &Tensor| points.to_device(&Device::Cpu)?.to_dtype(DType::F64);
        let points = |cloud: &PointCloud<'_>| host(&cloud.to_tensor()?);
        let (x, y) = (points(problem.x())?, points(problem.y())?);
        let ones = |like: &Tensor| Tensor::ones((like.dim(0)?, 1), DType::F64, &Device::Cpu);
        let squares = |points: &Tensor| points.sqr()?.sum_keepdim(1);
        let unit = |points: &Tensor| points.broadcast_div(&squares(points)?.sqrt()?);
        Ok(match problem.cost() {
            CostKind::SquaredEuclidean => {
                let mean = y.mean_keepdim(0)?;
                let (x, y) = (x.broadcast_sub(&mean)?, y.broadcast_sub(&mean)?);
                let a = Tensor::cat(&[squares(&x)?, ones(&x)?, (&x * -2.0)?], 1)?;
                Self::Factors { a, b: Tensor::cat(&[ones(&y)?, squares(&y)?, y], 1)? }
            }
            CostKind::Cosine => {
                let (x, y) = (unit(&x)?, unit(&y)?);
                Self::Factors { a: Tensor::cat(&[ones(&x)?, x.neg()?], 1)?, b: Tensor::cat(&[ones(&y)?, y], 1)? }
            }
            CostKind::NegativeInnerProduct => Self::Factors { a: x.neg()?, b: y },
            CostKind::Euclidean => {
                let forward = TiledCost::of_problem(problem);
                Self::Tiles { backward: Box::new(forward.turned()), forward: Box::new(forward) }
            }
        })
    }

    /// `C v`, `(n, r)`, for `v (m, r)`; anything where it is stopped.
    pub(super) fn times(&self, v: &Tensor, stop: Stop<'_>) -> Result<Tensor> {
        match self {
            Self::Factors { a, b } => a.matmul(&b.t()?.matmul(v)?),
            Self::Tiles { forward, .. } => streamed(forward, v, stop),
        }
    }

    /// `Cᵀ v`, `(m, r)`, for `v (n, r)`; anything where it is stopped.
    pub(super) fn transposed_times(&self, v: &Tensor, stop: Stop<'_>) -> Result<Tensor> {
        match self {
            Self::Factors { a, b } => b.matmul(&a.t()?.matmul(v)?),
            Self::Tiles { backward, .. } => streamed(backward, v, stop),
        }
    }
}

/// `C v` from the tiles of C.
fn streamed(cost: &TiledCost, v: &Tensor, stop: Stop<'_>) -> Result<Tensor> {
    let rank = v.dim(1)?;
    let v = v.contiguous()?.flatten_all()?.to_vec1::<f64>()?;
    let stripes: Vec<Vec<f64>> = (0..cost.row_tiles())
        .into_par_iter()
        .map_init(Vec::new, |workspace, row_tile| {
            let rows = cost.row_range(row_tile).len();
            let mut out = vec![0.0; rows * rank];
            if stop() {
                return out;
            }
            for column_tile in 0..cost.column_tiles() {
                let columns = cost.column_range(column_tile);
                let tile = cost.tile(row_tile, column_tile, workspace);
                let v = &v[columns.start * rank..columns.end * rank];
                let (width, shape) = (columns.len() as isize, (rows, columns.len(), rank));
                multiply(tile, (width, 1), v, (rank as isize, 1), &mut out, shape, true);
            }
            out
        })
        .collect();
    Tensor::from_vec(stripes.concat(), (cost.num_x(), rank), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterations::never;
    use hiref_core::rng::stream;
    use rand::Rng;

    #[test]
    fn products_match_the_definition() {
        let (n, m, d, rank) = (70, 300, 3, 4);
        let mut rng = stream(8, &[]);
        let mut draw = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|_| rng.random_range(-1.0..3.0)).collect();
            (Tensor::from_slice(&values, (rows, columns), &Device::Cpu).unwrap(), values)
        };
        let ((x, x_rows), (y, y_rows)) = (draw(n, d), draw(m, d));
        let (v, w) = (draw(m, rank).0.to_dtype(DType::F64).unwrap(), draw(n, rank).0.to_dtype(DType::F64).unwrap());
        for kind in CostKind::ALL {
            let operator = CostOperator::new(&Problem::new(&x, &y, kind).unwrap()).unwrap();
            let entries: Vec<f64> =
                (0..n * m).map(|k| kind.between(&x_rows[k / m * d..][..d], &y_rows[k % m * d..][..d])).collect();
            let matrix = Tensor::from_vec(entries, (n, m), &Device::Cpu).unwrap();
            for (got, expected) in [
                (operator.times(&v, &never), matrix.matmul(&v)),
                (operator.transposed_times(&w, &never), matrix.t().unwrap().matmul(&w)),
            ] {
                let difference = (got.unwrap() - expected.unwrap()).unwrap().abs().unwrap().max_all().unwrap();
                let difference = difference.to_scalar::<f64>().unwrap();
                assert!(difference < 1e-9, "{kind}: {difference:e}");
            }
        }
    }
}
