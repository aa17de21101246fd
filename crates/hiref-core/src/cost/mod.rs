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
