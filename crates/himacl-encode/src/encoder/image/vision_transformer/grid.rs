//! Rotary positions of patches: half the pairs of a head are turned by the row, half by the column.

use crate::encoder::nn::{Pairs, Rope};
use candle_core::{Result, Tensor};

/// How places of a grid become angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turning {
    /// `DINOv3`: the middle of each patch, in [-1, 1] along each axis; periods `theta^(4 i / width)`, rows first.
    Middles { theta: f64 },
    /// EVA-02 and Perception Encoder: places from `first` on, scaled to a grid of `reference`; frequencies
    /// `10,000^(-4 i / width)`.
    Steps { first: f64, reference: usize, columns_first: bool },
}

impl Turning {
    /// For heads of `width` and a grid; so many tokens before the patches are not turned.
    pub(super) fn rope(self, width: usize, grid: (usize, usize), leading: usize, like: &Tensor) -> Result<Rope> {
        let quarter = width / 4;
        let theta = if let Self::Middles { theta } = self { theta } else { 10_000.0 };
        let frequencies: Vec<f64> = (0..quarter).map(|i| theta.powf(-(i as f64) / quarter as f64)).collect();
        let mut angles = vec![0.0; leading * 2 * quarter];
        let (height, columns) = grid;
        for row in 0..height {
            for column in 0..columns {
                let (y, x) = (self.coordinate(row, height), self.coordinate(column, columns));
                let pair = if self.columns_first() { [x, y] } else { [y, x] };
                angles.extend(pair.iter().flat_map(|place| frequencies.iter().map(move |frequency| place * frequency)));
            }
        }
        let pairs = if let Self::Middles { .. } = self { Pairs::Halves } else { Pairs::Neighbours };
        Rope::of_angles(&angles, width, pairs, like)
    }

    fn columns_first(self) -> bool {
        matches!(self, Self::Steps { columns_first: true, .. })
    }

    fn coordinate(self, place: usize, count: usize) -> f64 {
        match self {
            Self::Middles { .. } => std::f64::consts::TAU * (2.0 * (place as f64 + 0.5) / count as f64 - 1.0),
            Self::Steps { first, reference, .. } => (place as f64 + first) / count as f64 * reference as f64,
        }
    }
}
