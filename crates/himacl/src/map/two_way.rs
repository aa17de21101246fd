//! A map and, where one is wanted, a map back.

use super::{Map, Tensors};
use candle_core::{Result, Tensor};

/// A map from source to target and optionally one from target to source; the latter is learnt, not computed.
#[derive(Debug, Clone)]
pub struct TwoWayMap {
    /// Source to target.
    pub forward: Map,
    /// Target to source.
    pub backward: Option<Map>,
}

impl TwoWayMap {
    /// The parameters of both, as `forward.NAME` and `backward.NAME`.
    pub fn tensors(&self) -> Tensors {
        let directions = [("forward", Some(&self.forward)), ("backward", self.backward.as_ref())];
        let named = directions.into_iter().filter_map(|(direction, map)| Some((direction, map?)));
        named
            .flat_map(|(direction, map)| {
                map.tensors().into_iter().map(move |(name, tensor)| (format!("{direction}.{name}"), tensor))
            })
            .collect()
    }

    /// The maps whose parameters are `tensors`.
    ///
    /// # Errors
    /// A missing tensor, or shapes that do not follow one another.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let direction = |prefix: &str| -> Tensors {
            tensors
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
                .collect()
        };
        let backward = direction("backward.");
        let backward = if backward.is_empty() { None } else { Some(Map::from_tensors(&backward)?) };
        Ok(Self { forward: Map::from_tensors(&direction("forward."))?, backward })
    }

    /// Both sides in joint coordinates in which the inner product is the mean of the cosines of every direction:
    /// `cos(T(x), y)`, and `cos(x, S(y))` where there is a map S back.
    ///
    /// Shapes: `x (n, d)`, `y (m, e)`; the answer has rows of e, or e + d, coordinates and unit length.
    ///
    /// # Errors
    /// Rows of other dimensions than the maps'.
    pub fn joint(&self, x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        let mapped = unit_rows(&self.forward.apply(x)?)?; // (n, e)
        let y_unit = unit_rows(y)?; // (m, e)
        let Some(backward) = &self.backward else { return Ok((mapped, y_unit)) };
        let back = unit_rows(&backward.apply(y)?)?; // (m, d)
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let x_joint = (Tensor::cat(&[&mapped, &unit_rows(x)?], 1)? * half)?; // (n, e + d)
        Ok((x_joint, (Tensor::cat(&[&y_unit, &back], 1)? * half)?)) // (m, e + d)
    }
}

/// The rows divided by their length, `(n, d)`; a zero row stays zero.
///
/// # Errors
/// A failed tensor operation.
pub(crate) fn unit_rows(rows: &Tensor) -> Result<Tensor> {
    let lengths = rows.sqr()?.sum_keepdim(1)?.sqrt()?.clamp(1e-12, f64::INFINITY)?; // (n, 1)
    rows.broadcast_div(&lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::LinearMap;
    use candle_core::Device;

    #[test]
    fn joint_inner_products_are_mean_cosines() {
        let tensor = |values: &[[f32; 2]]| {
            Tensor::from_iter(values.iter().flatten().copied(), &Device::Cpu)
                .and_then(|flat| flat.reshape((values.len(), 2)))
                .unwrap()
        };
        let bias = Tensor::new(&[0f32, 0.0], &Device::Cpu).unwrap();
        let forward = Map::Linear(LinearMap { weight: tensor(&[[0.0, 2.0], [2.0, 0.0]]), bias: bias.clone() });
        let backward = Map::Linear(LinearMap { weight: tensor(&[[1.0, 0.0], [0.0, 1.0]]), bias });
        let (x, y) = (tensor(&[[3.0, 0.0]]), tensor(&[[0.0, 1.0]]));
        let score = |map: &TwoWayMap| {
            let (a, b) = map.joint(&x, &y).unwrap();
            a.matmul(&b.t().unwrap()).unwrap().to_vec2::<f32>().unwrap()[0][0]
        };
        // T(x) = (0, 6) is parallel to y; S(y) = (0, 1) is orthogonal to x.
        assert_eq!(score(&TwoWayMap { forward: forward.clone(), backward: None }), 1.0);
        let both = TwoWayMap { forward, backward: Some(backward) };
        assert!((score(&both) - 0.5).abs() < 1e-6);
        assert_eq!(TwoWayMap::from_tensors(&both.tensors()).unwrap().tensors().len(), 4);
    }
}
