//! A map and, where one is wanted, a map back, or a map of the other side to where they meet.

use super::{Map, Tensors};
use candle_core::{DType, Result, Tensor};

/// A map T from source to target and optionally one from target to source, S; the latter is learnt, not computed.
///
/// Or a learnt cost `|φ(x) - ψ(y)|²`: `forward` is φ and `partner` is ψ, and both sides meet in a space of their own.
#[derive(Debug, Clone)]
pub struct TwoWayMap {
    /// Source to target.
    pub forward: Map,
    /// Target to source.
    pub backward: Option<Map>,
    /// Target to the space in which the sides are compared; without it that is the target's own.
    pub partner: Option<Box<Map>>,
}

impl TwoWayMap {
    /// A map and perhaps one back, which compare in the target's space.
    pub fn new(forward: Map, backward: Option<Map>) -> Self {
        Self { forward, backward, partner: None }
    }

    /// The parameters of all, as `forward.NAME`, `backward.NAME` and `partner.NAME`.
    pub fn tensors(&self) -> Tensors {
        let directions = [
            ("forward", Some(&self.forward)),
            ("backward", self.backward.as_ref()),
            ("partner", self.partner.as_deref()),
        ];
        let named = directions.into_iter().filter_map(|(direction, map)| Some((direction, map?)));
        named
            .flat_map(|(direction, map)| {
                map.tensors().into_iter().map(move |(name, tensor)| (format!("{direction}.{name}"), tensor))
            })
            .collect()
    }

    /// The maps with parameters cast to `dtype`; differentiable in the parameters, and free where they have that type.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        let tensors = self.tensors().into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)));
        Self::from_tensors(&tensors.collect::<Result<_>>()?)
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
        let optional = |prefix: &str| match direction(prefix) {
            tensors if tensors.is_empty() => Ok(None),
            tensors => Map::from_tensors(&tensors).map(Some),
        };
        let forward = Map::from_tensors(&direction("forward."))?;
        Ok(Self { forward, backward: optional("backward.")?, partner: optional("partner.")?.map(Box::new) })
    }

    /// The targets where they are compared with `T(x)`: ψ(y), or y itself, `(m, e)`.
    ///
    /// # Errors
    /// Rows of another dimension than the map's.
    pub fn targets(&self, y: &Tensor) -> Result<Tensor> {
        self.partner.as_ref().map_or_else(|| Ok(y.clone()), |partner| partner.apply(y))
    }

    /// Both sides in joint coordinates in which the inner product is the mean of the cosines of every direction:
    /// `cos(T(x), y)`, and `cos(x, S(y))` where there is a map S back; `cos(φ(x), ψ(y))` for a learnt cost.
    ///
    /// Shapes: `x (n, d)`, `y (m, e)`; the answer has rows of e, or e + d, coordinates and unit length.
    ///
    /// # Errors
    /// Rows of other dimensions than the maps'.
    pub fn joint(&self, x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.joint_sources(x)?, self.joint_targets(y)?))
    }

    /// The sources of [`TwoWayMap::joint`], `(n, e)`, or `(n, e + d)` where there is a map back.
    ///
    /// # Errors
    /// Rows of another dimension than the map's.
    pub fn joint_sources(&self, x: &Tensor) -> Result<Tensor> {
        let mapped = unit_rows(&self.forward.apply(x)?)?; // (n, e)
        if self.backward.is_none() {
            return Ok(mapped);
        }
        Tensor::cat(&[&mapped, &unit_rows(x)?], 1)? * std::f64::consts::FRAC_1_SQRT_2 // (n, e + d)
    }

    /// The targets of [`TwoWayMap::joint`], `(m, e)`, or `(m, e + d)` where there is a map back.
    ///
    /// # Errors
    /// Rows of another dimension than the maps'.
    pub fn joint_targets(&self, y: &Tensor) -> Result<Tensor> {
        let y_unit = unit_rows(&self.targets(y)?)?; // (m, e)
        let Some(backward) = &self.backward else { return Ok(y_unit) };
        let back = unit_rows(&backward.apply(y)?)?; // (m, d)
        Tensor::cat(&[&y_unit, &back], 1)? * std::f64::consts::FRAC_1_SQRT_2 // (m, e + d)
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
        assert_eq!(score(&TwoWayMap::new(forward.clone(), None)), 1.0);
        let both = TwoWayMap::new(forward.clone(), Some(backward));
        assert!((score(&both) - 0.5).abs() < 1e-6);
        assert_eq!(TwoWayMap::from_tensors(&both.tensors()).unwrap().tensors().len(), 4);
        // With ψ = T too, ψ(y) = (2, 0) is orthogonal to φ(x) = (0, 6).
        let learnt = TwoWayMap { partner: Some(Box::new(forward.clone())), ..TwoWayMap::new(forward, None) };
        assert!(score(&learnt).abs() < 1e-6);
        let again = TwoWayMap::from_tensors(&learnt.tensors()).unwrap();
        assert!(again.partner.is_some() && again.backward.is_none() && score(&again).abs() < 1e-6);
    }

    /// Masters in f32, computation in half precision: every parameter gets a gradient of its own type, near that of f32.
    #[test]
    fn half_precision_has_gradients_in_single() {
        use crate::map::ResidualMlp;
        use candle_core::Var;
        let draw = |step: usize, shape: (usize, usize)| {
            let values = (0..shape.0 * shape.1).map(|e| ((e * step) % 17) as f32 / 17.0 - 0.5);
            Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
        };
        let linear = LinearMap { weight: draw(5, (6, 4)), bias: draw(3, (1, 4)).flatten_all().unwrap() };
        let mut mlp = ResidualMlp::around(linear, 1, 8, 1).unwrap();
        mlp.output.weight = draw(7, (8, 4));
        let map = TwoWayMap::new(Map::ResidualMlp(mlp), None);
        let variables: std::collections::BTreeMap<String, Var> =
            map.tensors().into_iter().map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap())).collect();
        let tensors = variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect();
        let map = TwoWayMap::from_tensors(&tensors).unwrap();
        let x = draw(11, (5, 6));
        let gradients = |dtype: DType| {
            let mapped = map.to_dtype(dtype).unwrap().forward.apply(&x.to_dtype(dtype).unwrap()).unwrap();
            assert_eq!(mapped.dtype(), dtype);
            mapped.to_dtype(DType::F32).unwrap().sqr().unwrap().mean_all().unwrap().backward().unwrap()
        };
        // The CPU has products in f16 and none in bf16.
        let (single, half) = (gradients(DType::F32), gradients(DType::F16));
        for (name, variable) in &variables {
            let (single, half) = (single.get(variable).unwrap(), half.get(variable).unwrap());
            assert_eq!(half.dtype(), DType::F32, "{name}");
            let size = single.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let off = (single - half).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            assert!(size > 0.0 && off < 0.01 * size, "{name}: off by {off} of {size}");
        }
    }
}
