//! The costs c(x, y) that a coupling minimises.

mod tile;

pub(crate) use tile::CostTile;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A cost between two points of the same space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum CostKind {
    /// `|x - y|²`
    #[default]
    #[serde(rename = "sqeuclidean")]
    SquaredEuclidean,
    /// `|x - y|`
    #[serde(rename = "euclidean")]
    Euclidean,
    /// `1 - <x, y> / (|x| |y|)`
    #[serde(rename = "cosine")]
    Cosine,
    /// `-<x, y>`
    #[serde(rename = "neg-dot")]
    NegativeInnerProduct,
}

impl CostKind {
    /// Every cost.
    pub const ALL: [Self; 4] = [Self::SquaredEuclidean, Self::Euclidean, Self::Cosine, Self::NegativeInnerProduct];

    /// The name used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SquaredEuclidean => "sqeuclidean",
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
            Self::NegativeInnerProduct => "neg-dot",
        }
    }

    /// The cost between two points, accumulated in f64: the definition that every reported figure is computed with.
    ///
    /// Shapes: both `(d,)`. Units: those of the coordinates (squared for the squared cost and the inner product).
    pub fn between(self, x: &[f32], y: &[f32]) -> f64 {
        let pairs = || x.iter().zip(y).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let inner_product = || pairs().map(|(a, b)| a * b).sum::<f64>();
        match self {
            Self::SquaredEuclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum(),
            Self::Euclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
            Self::Cosine => {
                let (xx, yy) = pairs().fold((0.0, 0.0), |(xx, yy), (a, b)| (xx + a * a, yy + b * b));
                1.0 - inner_product() / (xx * yy).sqrt()
            }
            Self::NegativeInnerProduct => -inner_product(),
        }
    }

    /// The costs between a point and several, `(N,)`: the same bits as one by one, in less time, since no sum waits for another.
    pub(crate) fn between_several<const N: usize>(self, x: &[f32], ys: [&[f32]; N]) -> [f64; N] {
        let ys = ys.map(|y| &y[..x.len()]);
        // As sums of floats begin.
        let mut sums = [-0.0_f64; N];
        if matches!(self, Self::SquaredEuclidean | Self::Euclidean) {
            for (k, &a) in x.iter().enumerate() {
                for (sum, y) in sums.iter_mut().zip(ys) {
                    let difference = f64::from(a) - f64::from(y[k]);
                    *sum += difference * difference;
                }
            }
            return if self == Self::Euclidean { sums.map(f64::sqrt) } else { sums };
        }
        let (mut xx, mut yy) = (0.0_f64, [0.0_f64; N]);
        for (k, &a) in x.iter().enumerate() {
            let a = f64::from(a);
            xx += a * a;
            for ((sum, yy), y) in sums.iter_mut().zip(&mut yy).zip(ys) {
                let b = f64::from(y[k]);
                *sum += a * b;
                *yy += b * b;
            }
        }
        if self == Self::NegativeInnerProduct {
            return sums.map(|sum| -sum);
        }
        std::array::from_fn(|l| 1.0 - sums[l] / (xx * yy[l]).sqrt())
    }
}

impl fmt::Display for CostKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for CostKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|cost| cost.name() == name)
            .ok_or_else(|| format!("unknown cost `{name}`, expected one of sqeuclidean, euclidean, cosine, neg-dot"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_costs_are_those_of_one_by_one() {
        let point =
            |seed: usize| (0..37).map(|k| ((k * 31 + seed * 17) % 23) as f32 * 0.37 - 4.0).collect::<Vec<f32>>();
        let (x, ys) = (point(0), [1, 2, 3].map(point));
        for cost in CostKind::ALL {
            let several = cost.between_several(&x, ys.each_ref().map(|y| &y[..]));
            assert_eq!(several, ys.each_ref().map(|y| cost.between(&x, y)), "{cost}");
            assert_eq!(cost.between_several(&x, [&x[..]]), [cost.between(&x, &x)], "{cost}");
        }
    }

    #[test]
    fn costs_of_a_right_triangle() {
        let (x, y) = ([3.0, 0.0], [0.0, 4.0]);
        let values: Vec<f64> = CostKind::ALL.iter().map(|cost| cost.between(&x, &y)).collect();
        assert_eq!(values, [25.0, 5.0, 1.0, 0.0]);
        assert_eq!(CostKind::NegativeInnerProduct.between(&x, &x), -9.0);
        assert_eq!(CostKind::Cosine.between(&x, &x), 0.0);
    }

    #[test]
    fn names_round_trip() {
        for cost in CostKind::ALL {
            assert_eq!(cost.name().parse(), Ok(cost));
        }
        assert!("l2".parse::<CostKind>().unwrap_err().contains("sqeuclidean"));
    }
}
