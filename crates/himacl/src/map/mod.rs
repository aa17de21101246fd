//! Maps T from one embedding space to the other: linear, a network, linear plus a residual network, or the gradient of a
//! convex function, alone or after a linear map.

mod aligned_convex_gradient;
mod cca;
mod convex_fit;
mod convex_gradient;
mod decomposition;
mod directions;
mod gaussian;
mod linear;
mod mlp;
mod residual_mlp;
mod residual_transformer;
mod tensors;
mod two_way;

pub use aligned_convex_gradient::AlignedConvexGradient;
pub use cca::CanonicalMap;
pub use convex_fit::{ConvexFit, ConvexFitParams};
pub use convex_gradient::ConvexGradient;
pub use decomposition::DecompositionError;
pub(crate) use decomposition::{orthogonal_factor, product, symmetric_eigen};
pub use linear::{FitError, LinearMap};
pub(crate) use linear::{inner_products, to_tensor};
pub use mlp::Mlp;
pub use residual_mlp::ResidualMlp;
pub use residual_transformer::ResidualTransformer;
pub use tensors::Tensors;
pub(crate) use tensors::{decode, encode};
pub use two_way::TwoWayMap;
pub(crate) use two_way::unit_rows;

use candle_core::{Result, Tensor, bail};

/// A map between two embedding spaces, of any kind.
///
/// Its parameters are named tensors: [`Map::tensors`] takes them out and [`Map::from_tensors`] rebuilds the map around
/// others of the same names, which is how training, the moving average, checkpoints and files share one architecture.
#[derive(Debug, Clone)]
pub enum Map {
    /// `x W + b`
    Linear(LinearMap),
    /// `N(x)`
    Mlp(Mlp),
    /// `x W + b + N(x)`
    ResidualMlp(ResidualMlp),
    /// `x W + b + N(x)` with a transformer N.
    ResidualTransformer(Box<ResidualTransformer>),
    /// `∇f(x W + b)` with a convex function f.
    AlignedConvexGradient(Box<AlignedConvexGradient>),
    /// The gradient of a convex function.
    ConvexGradient(Box<ConvexGradient>),
}

impl Map {
    /// The kind's name in recipes and files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Mlp(_) => "mlp",
            Self::ResidualMlp(_) => "residual-mlp",
            Self::ResidualTransformer(_) => "residual-transformer",
            Self::AlignedConvexGradient(_) | Self::ConvexGradient(_) => "convex-gradient",
        }
    }

    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear(map) => map.apply(x),
            Self::Mlp(map) => map.apply(x),
            Self::ResidualMlp(map) => map.apply(x),
            Self::ResidualTransformer(map) => map.apply(x),
            Self::AlignedConvexGradient(map) => map.apply(x),
            Self::ConvexGradient(map) => map.apply(x),
        }
    }

    /// The parameters: `linear.weight`, `linear.bias`, `hidden.0.weight`, ..., `output.bias`.
    pub fn tensors(&self) -> Tensors {
        let mut tensors = Tensors::new();
        let mut insert = |name: &str, layer: &LinearMap| {
            tensors.insert(format!("{name}.weight"), layer.weight.clone());
            tensors.insert(format!("{name}.bias"), layer.bias.clone());
        };
        let (linear, network) = match self {
            Self::Linear(map) => (Some(map), None),
            Self::Mlp(map) => (None, Some((&map.hidden, &map.output))),
            Self::ResidualMlp(map) => (Some(&map.linear), Some((&map.hidden, &map.output))),
            Self::ResidualTransformer(map) => return map.tensors(),
            Self::AlignedConvexGradient(map) => return map.tensors(),
            Self::ConvexGradient(map) => return map.tensors(),
        };
        if let Some(linear) = linear {
            insert("linear", linear);
        }
        if let Some((hidden, output)) = network {
            for (index, layer) in hidden.iter().enumerate() {
                insert(&format!("hidden.{index}"), layer);
            }
            insert("output", output);
        }
        tensors
    }

    /// The map whose parameters are `tensors`; their names tell its kind.
    ///
    /// # Errors
    /// A missing tensor, or shapes that do not follow one another.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let layer = |name: &str| -> Result<LinearMap> {
            let tensor = |part: &str| match tensors.get(&format!("{name}.{part}")) {
                Some(tensor) => Ok(tensor.clone()),
                None => bail!("the map has no tensor `{name}.{part}`"),
            };
            let (weight, bias) = (tensor("weight")?, tensor("bias")?);
            let (_, outputs) = weight.dims2()?;
            if bias.dims() != [outputs] {
                bail!("`{name}.bias` has shape {:?}, expected [{outputs}]", bias.dims());
            }
            Ok(LinearMap { weight, bias })
        };
        if tensors.contains_key("root") {
            return Ok(Self::ConvexGradient(Box::new(ConvexGradient::from_tensors(tensors, layer("units")?)?)));
        }
        if tensors.contains_key("convex.root") {
            let map = AlignedConvexGradient::from_tensors(tensors, layer("linear")?, layer("convex.units")?)?;
            return Ok(Self::AlignedConvexGradient(Box::new(map)));
        }
        if tensors.contains_key("slots") {
            return Ok(Self::ResidualTransformer(Box::new(ResidualTransformer::from_tensors(tensors, &layer)?)));
        }
        if !tensors.contains_key("output.weight") {
            return Ok(Self::Linear(layer("linear")?));
        }
        let depth = (0..usize::MAX).take_while(|index| tensors.contains_key(&format!("hidden.{index}.weight"))).count();
        let hidden = (0..depth).map(|index| layer(&format!("hidden.{index}"))).collect::<Result<Vec<_>>>()?;
        let output = layer("output")?;
        if !tensors.contains_key("linear.weight") {
            return Ok(Self::Mlp(Mlp { hidden, output }));
        }
        Ok(Self::ResidualMlp(ResidualMlp { linear: layer("linear")?, hidden, output }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use std::collections::BTreeMap;

    fn some_maps() -> [Map; 6] {
        let linear = LinearMap {
            weight: Tensor::new(&[[1f32, 2.0], [0.5, -1.0], [0.25, 0.0]], &Device::Cpu).unwrap(),
            bias: Tensor::new(&[0.1f32, -0.1], &Device::Cpu).unwrap(),
        };
        [
            Map::Linear(linear.clone()),
            Map::Mlp(Mlp::new((3, 2), 2, 4, 3, &Device::Cpu).unwrap()),
            Map::ResidualMlp(ResidualMlp::around(linear.clone(), 2, 4, 3).unwrap()),
            Map::ResidualTransformer(Box::new(ResidualTransformer::around(linear.clone(), 2, 32, 3, 3).unwrap())),
            Map::AlignedConvexGradient(Box::new(AlignedConvexGradient::around(linear, 4, 3).unwrap())),
            Map::ConvexGradient(Box::new(convex_gradient::tests::some(3, 4, 1))),
        ]
    }

    #[test]
    fn tensors_rebuild_the_map() {
        let kinds = [
            ("linear", 2),
            ("mlp", 6),
            ("residual-mlp", 8),
            ("residual-transformer", 31),
            ("convex-gradient", 7),
            ("convex-gradient", 5),
        ];
        for (map, (kind, tensors)) in some_maps().iter().zip(kinds) {
            let again = Map::from_tensors(&map.tensors()).unwrap();
            assert_eq!((again.kind(), again.tensors().len()), (kind, tensors));
        }
        let [_, _, map, ..] = some_maps();
        let mut missing = map.tensors();
        missing.remove("output.bias");
        assert!(Map::from_tensors(&missing).unwrap_err().to_string().contains("output.bias"));
    }

    #[test]
    fn every_trainable_variable_gets_a_gradient() {
        some_maps().iter().for_each(check_gradients);
    }

    fn check_gradients(map: &Map) {
        // Away from the zero initialisation, where the hidden layers rightly have zero gradients.
        let vars: BTreeMap<String, Var> = map
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, Var::from_tensor(&(tensor + 0.1).unwrap()).unwrap()))
            .collect();
        let map = Map::from_tensors(&vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect())
            .unwrap();
        let x = Tensor::new(&[[1f32, -2.0, 0.5], [0.3, 0.1, 0.7]], &Device::Cpu).unwrap();
        let gradients = map.apply(&x).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (name, var) in &vars {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
            let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size > 0.0, "`{name}` has a zero gradient");
        }
    }
}
