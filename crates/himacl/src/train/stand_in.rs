//! Stand-ins for the alignment and evaluation modules.

use super::pairs::Coupling;
use super::{Metrics, Watch};
use crate::error::Error;
use crate::map::{LinearMap, Map, Tensors, TwoWayMap};
use candle_core::{DType, Device, Result, Tensor};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// Centre and normalise.
#[derive(Debug, Clone)]
pub struct Space {
    mean: Tensor,
}

impl Space {
    pub fn fit(x: &Tensor) -> Result<Self> {
        Ok(Self { mean: crate::map::unit_rows(x)?.mean_keepdim(0)? })
    }

    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        crate::map::unit_rows(&crate::map::unit_rows(x)?.broadcast_sub(&self.mean)?)
    }

    pub fn tensors(&self) -> Tensors {
        Tensors::from([("mean".to_owned(), self.mean.clone())])
    }

    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        match tensors.get("mean") {
            Some(mean) => Ok(Self { mean: mean.clone() }),
            None => candle_core::bail!("a space without `mean`"),
        }
    }
}

fn matrix(tensor: &Tensor) -> Result<Mat<f64>> {
    let rows = tensor.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    Ok(Mat::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j]))
}

pub fn ridge(a: &Tensor, b: &Tensor, lambda: f64) -> Result<LinearMap> {
    let (a, b) = (matrix(a)?, matrix(b)?);
    let n = a.nrows() as f64;
    let mut gram = a.transpose() * &a;
    let d = gram.nrows();
    let trace: f64 = (0..d).map(|i| gram[(i, i)]).sum::<f64>() / d as f64;
    for i in 0..d {
        gram[(i, i)] += lambda * trace.max(1e-12 * n);
    }
    let right = a.transpose() * &b;
    let solution = gram.llt(Side::Lower).map_err(|_| candle_core::Error::Msg("not positive definite".into()))?.solve(&right);
    let (d, e) = (solution.nrows(), solution.ncols());
    let flat: Vec<f32> = (0..d * e).map(|at| solution[(at / e, at % e)] as f32).collect();
    let weight = Tensor::from_vec(flat, (d, e), &Device::Cpu)?;
    Ok(LinearMap { weight, bias: Tensor::zeros(e, DType::F32, &Device::Cpu)? })
}

pub struct Alignment {
    pub source: Space,
    pub target: Space,
    pub map: TwoWayMap,
    pub anchors_only: Option<TwoWayMap>,
    pub coupling: Coupling,
}

pub fn two_way_ridge(x: &Tensor, y: &Tensor, pairs: &[(u32, u32)], lambda: f64) -> Result<TwoWayMap> {
    let select = |tensor: &Tensor, pick: &dyn Fn(&(u32, u32)) -> u32| {
        tensor.index_select(&Tensor::from_iter(pairs.iter().map(pick), tensor.device())?, 0)
    };
    let (x, y) = (select(x, &|pair| pair.0)?, select(y, &|pair| pair.1)?);
    Ok(TwoWayMap { forward: Map::Linear(ridge(&x, &y, lambda)?), backward: Some(Map::Linear(ridge(&y, &x, lambda)?)) })
}

pub fn align(
    x: &Tensor,
    y: &Tensor,
    anchors: &[(u32, u32)],
    couple: &dyn Fn(&TwoWayMap, &Tensor, &Tensor) -> std::result::Result<Coupling, Error>,
    _watch: &dyn Watch,
) -> std::result::Result<Alignment, Error> {
    let (source, target) = (Space::fit(x)?, Space::fit(y)?);
    let (x, y) = (source.apply(x)?, target.apply(y)?);
    let (map, anchors_only) = if anchors.is_empty() {
        let d = x.dim(1)?;
        let identity = LinearMap { weight: Tensor::eye(d, DType::F32, x.device())?, bias: Tensor::zeros(d, DType::F32, x.device())? };
        (TwoWayMap { forward: Map::Linear(identity), backward: None }, None)
    } else {
        let map = two_way_ridge(&x, &y, anchors, 1.0)?;
        (map.clone(), Some(map))
    };
    let coupling = couple(&map, &x, &y)?;
    Ok(Alignment { source, target, map, anchors_only, coupling })
}

pub fn retrieval(x: &Tensor, y: &Tensor, csls: usize) -> Result<Metrics> {
    let scores = x.matmul(&y.t()?)?.to_vec2::<f32>()?;
    let n = scores.len();
    let k = csls.min(n);
    let mean_top = |mut row: Vec<f32>| -> f64 {
        row.sort_by(|a, b| b.total_cmp(a));
        if k == 0 { 0.0 } else { row[..k].iter().map(|&v| f64::from(v)).sum::<f64>() / k as f64 }
    };
    let rows: Vec<f64> = scores.iter().map(|row| mean_top(row.clone())).collect();
    let columns: Vec<f64> = (0..n).map(|j| mean_top(scores.iter().map(|row| row[j]).collect())).collect();
    let corrected = |i: usize, j: usize| 2.0 * f64::from(scores[i][j]) - rows[i] - columns[j];
    let mut metrics = Metrics::new();
    let mut foscttm = 0.0;
    for (name, swap) in [("image_to_text", false), ("text_to_image", true)] {
        let mut ranks: Vec<usize> = (0..n)
            .map(|i| {
                let own = corrected(i, i);
                (0..n).filter(|&j| j != i && (if swap { corrected(j, i) } else { corrected(i, j) }) >= own).count()
            })
            .collect();
        for at in [1, 5, 10] {
            let hits = ranks.iter().filter(|&&rank| rank < at).count();
            metrics.insert(format!("{name}_R@{at}"), hits as f64 / n as f64);
        }
        foscttm += ranks.iter().sum::<usize>() as f64 / (n * (n - 1).max(1)) as f64 / 2.0;
        ranks.sort_unstable();
        metrics.insert(format!("{name}_mean_rank"), 1.0 + ranks.iter().sum::<usize>() as f64 / n as f64);
        metrics.insert(format!("{name}_median_rank"), 1.0 + ranks[n / 2] as f64);
    }
    metrics.insert("foscttm".to_owned(), foscttm);
    Ok(metrics)
}

pub fn nearest(x: &Tensor, y: &Tensor) -> Result<Vec<u32>> {
    x.matmul(&y.t()?)?.argmax(1)?.to_vec1()
}
