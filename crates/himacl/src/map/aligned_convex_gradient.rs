//! A linear map to the other space, then the gradient of a convex function there.

use super::convex_gradient::{Descent, inverse_of_bound, softplus};
use super::residual_mlp::normal_weights;
use super::{LinearMap, Tensors};
use candle_core::{Result, Tensor, bail};
use himacl_nn::sigmoid;

/// Variance of `w_k · u` at the start for rows u of unit length: most units bend where the rows are, few are flat.
const VARIANCE: f32 = 4.0;

/// `T(x) = ∇f(x W + b)`, with f a convex function on the target's space, of dimension e.
///
/// A gradient maps a space to itself, so the linear map takes x to the other space first. There, with `L = I + R / √e`,
///
/// `∇f(u) = u L Lᵀ + c / √e + Σ_k g_k(√e w_k · u + t_k) w_k`, with units of either sign,
/// `g_k(z) = a_k (σ(z) - ½)` for `a_k ≥ 0`, `g_k(z) = |a_k| (z / 4 - σ(z) + ½)` for `a_k < 0`.
///
/// Both rise everywhere, since a logistic function has a slope from 0 to 1/4: the first bends from steep to flat on either
/// side, the second from flat to steep. So f is convex whatever the parameters are, and `∇f` is the optimal transport map,
/// for the squared distance, between the rows that the linear map makes and what it makes of them (\[Bre91\]). R, c and a
/// start at zero, so that training starts exactly at the linear map; `1/√e` keeps the steps of an adaptive optimiser in
/// proportion, as in [`ResidualMlp`](super::ResidualMlp).
///
/// References: \[Bre91\] Brenier, 1991; \[CPS23\] Chaudhari, Pranav, Moura, "Learning gradients of convex functions with
/// monotone gradient networks", ICASSP 2023.
#[derive(Debug, Clone)]
pub struct AlignedConvexGradient {
    /// W and b, d to e.
    pub linear: LinearMap,
    /// R, `(e, e)`.
    pub root: Tensor,
    /// c, `(e,)`.
    pub bias: Tensor,
    /// `w_k` as columns, `(e, k)`, and t, `(k,)`.
    pub units: LinearMap,
    /// a, `(k,)`.
    pub sizes: Tensor,
}

impl AlignedConvexGradient {
    /// A convex function of `width` units after `linear`, its directions drawn from the seed: T(x) = x W + b.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn around(linear: LinearMap, width: usize, seed: u64) -> Result<Self> {
        let (e, dtype, device) = (linear.bias.elem_count(), linear.weight.dtype(), linear.weight.device());
        let zeros = |shape: &[usize]| Tensor::zeros(shape, dtype, device);
        let weight = normal_weights((e, width), VARIANCE / e.max(1) as f32, (seed, 0), dtype, device)?;
        let units = LinearMap { weight, bias: zeros(&[width])? };
        let (root, bias, sizes) = (zeros(&[e, e])?, zeros(&[e])?, zeros(&[width])?);
        Ok(Self { linear, root, bias, units, sizes })
    }

    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`; differentiable in every tensor of the map.
    ///
    /// *Complexity*: O(n e (d + e + k)).
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.gradient(&self.linear.apply(x)?)
    }

    /// `∇f` of each row of `u`, `(n, e)`.
    ///
    /// # Errors
    /// Rows of another dimension than e.
    pub fn gradient(&self, u: &Tensor) -> Result<Tensor> {
        let scale = self.scale();
        let half = (u + (u.matmul(&self.root)? / scale)?)?; // u L, (n, e)
        let quadratic = (&half + (half.matmul(&self.root.t()?)? / scale)?)?;
        let entering = self.entering(u)?; // (n, k)
        let bent = (sigmoid(&entering)? - 0.5)?.broadcast_mul(&self.sizes)?;
        let straight = entering.broadcast_mul(&(self.negative_sizes()? * 0.25)?)?;
        let units = (bent + straight)?.matmul(&self.units.weight.t()?)?; // (n, e)
        (quadratic + units)?.broadcast_add(&(&self.bias / scale)?)
    }

    /// f of each row of `u`, `(n,)`.
    ///
    /// # Errors
    /// Rows of another dimension than e.
    pub fn potential(&self, u: &Tensor) -> Result<Tensor> {
        let scale = self.scale();
        let half = (u + (u.matmul(&self.root)? / scale)?)?; // (n, e)
        let entering = self.entering(u)?; // (n, k)
        let bent = (softplus(&entering)? - (&entering * 0.5)?)?.broadcast_mul(&self.sizes)?;
        let straight = entering.sqr()?.broadcast_mul(&(self.negative_sizes()? * 0.125)?)?;
        let units = ((bent + straight)?.sum(1)? / scale)?; // (n,)
        let slope = u.broadcast_mul(&(&self.bias / scale)?)?.sum(1)?;
        ((half.sqr()?.sum(1)? * 0.5)? + units)? + slope
    }

    /// The rows u with `∇f(u) = y` for `y (n, e)`, the gradient of the conjugate of f: what the linear map makes of the
    /// sources whose images are y. As [`ConvexGradient::inverse`](super::ConvexGradient::inverse) finds it.
    ///
    /// *Complexity*: O(n e (e + k)) an iteration, O(e² (e + k)) once.
    ///
    /// # Errors
    /// Rows of another dimension than e; rows that are no images, because the gradient is not onto.
    pub fn inverse_gradient(&self, y: &Tensor) -> Result<Tensor> {
        let metric = inverse_of_bound(&self.hessian_bound()?)?;
        let start = y.broadcast_sub(&(&self.bias / self.scale())?)?.matmul(&metric)?;
        Descent { gradient: &|u| self.gradient(u), inverse_metric: Some(&metric) }.to_the_end(y, start)
    }

    /// An upper bound of the Hessian of f, `(e, e)`: both kinds of units have slopes of a quarter of their size at most.
    fn hessian_bound(&self) -> Result<Tensor> {
        let scale = self.scale();
        let e = self.root.dim(0)?;
        let root = (Tensor::eye(e, self.root.dtype(), self.root.device())? + (&self.root / scale)?)?;
        let weighted = self.units.weight.broadcast_mul(&(self.sizes.abs()? * (0.25 * scale))?)?;
        root.matmul(&root.t()?)? + weighted.matmul(&self.units.weight.t()?)?
    }

    /// What enters the units, `(n, k)`.
    fn entering(&self, u: &Tensor) -> Result<Tensor> {
        (u.matmul(&self.units.weight)? * self.scale())?.broadcast_add(&self.units.bias)
    }

    /// `(-a_k)₊`, `(k,)`; as a mean of two, whose gradient at zero is that of a positive size.
    fn negative_sizes(&self) -> Result<Tensor> {
        (self.sizes.abs()? - &self.sizes)? * 0.5
    }

    /// `√e`.
    fn scale(&self) -> f64 {
        (self.bias.elem_count() as f64).sqrt()
    }

    /// The parameters: `linear.weight`, `linear.bias`, `convex.root`, `convex.bias`, `convex.units.weight`,
    /// `convex.units.bias`, `convex.sizes`.
    pub(super) fn tensors(&self) -> Tensors {
        let named = [
            ("linear.weight", &self.linear.weight),
            ("linear.bias", &self.linear.bias),
            ("convex.root", &self.root),
            ("convex.bias", &self.bias),
            ("convex.units.weight", &self.units.weight),
            ("convex.units.bias", &self.units.bias),
            ("convex.sizes", &self.sizes),
        ];
        named.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
    }

    /// The inverse of [`AlignedConvexGradient::tensors`], with the linear layers read already.
    pub(super) fn from_tensors(tensors: &Tensors, linear: LinearMap, units: LinearMap) -> Result<Self> {
        let (e, k) = (linear.bias.elem_count(), units.bias.elem_count());
        if units.weight.dims() != [e, k] {
            bail!("`convex.units.weight` has shape {:?}, expected [{e}, {k}]", units.weight.dims());
        }
        let get = |name: &str, shape: &[usize]| match tensors.get(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor.clone()),
            Some(tensor) => bail!("`{name}` has shape {:?}, expected {shape:?}", tensor.dims()),
            None => bail!("the map has no tensor `{name}`"),
        };
        let (root, bias) = (get("convex.root", &[e, e])?, get("convex.bias", &[e])?);
        Ok(Self { linear, root, bias, units, sizes: get("convex.sizes", &[k])? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::convex_gradient::tests::normal;
    use super::*;
    use candle_core::Device;

    fn linear(d: usize, e: usize) -> LinearMap {
        LinearMap { weight: normal(d, e, 70), bias: normal(1, e, 71).flatten_all().unwrap() }
    }

    /// From 5 to 4 dimensions with units of both signs.
    fn some() -> AlignedConvexGradient {
        let map = AlignedConvexGradient::around(linear(5, 4), 9, 2).unwrap();
        let row = |columns, purpose| normal(1, columns, purpose).flatten_all().unwrap();
        let units = LinearMap { bias: row(9, 72), ..map.units };
        AlignedConvexGradient {
            root: (normal(4, 4, 73) * 0.3).unwrap(),
            bias: row(4, 74),
            units,
            sizes: row(9, 75),
            ..map
        }
    }

    fn worst(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn it_starts_at_its_linear_path() {
        let x = normal(6, 5, 76);
        let map = AlignedConvexGradient::around(linear(5, 4), 7, 1).unwrap();
        assert_eq!(worst(&map.apply(&x).unwrap(), &map.linear.apply(&x).unwrap()), 0.0);
    }

    #[test]
    fn by_hand_in_one_dimension() {
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let matrix = |values: &[f32]| tensor(values).reshape((1, values.len())).unwrap();
        let map = AlignedConvexGradient {
            linear: LinearMap { weight: matrix(&[2.0]), bias: tensor(&[-1.0]) },
            root: matrix(&[0.5]),
            bias: tensor(&[0.25]),
            units: LinearMap { weight: matrix(&[2.0, 3.0]), bias: tensor(&[-2.0, -3.0 + 4.0]) },
            sizes: tensor(&[2.0, -1.0]),
        };
        // u = 1: 1.5² + 0.25 + 2 (σ(0) - ½) 2 + (4 / 4 - σ(4) + ½) 3.
        let logistic = 1.0 / (1.0 + (-4f32).exp());
        let answer = 2.25 + 0.25 + 3.0 * (1.5 - logistic);
        assert!(worst(&map.apply(&matrix(&[1.0])).unwrap(), &matrix(&[answer])) < 1e-5);
    }

    #[test]
    fn it_is_the_gradient_of_a_convex_function() {
        let (map, u) = (some(), normal(200, 4, 77));
        let image = map.gradient(&u).unwrap();
        let towards = normal(1, 4, 78);
        let at = |step: f64| map.potential(&u.broadcast_add(&(&towards * step).unwrap()).unwrap()).unwrap();
        let slope = ((at(1e-2) - at(-1e-2)).unwrap() / 2e-2).unwrap();
        assert!(worst(&slope, &image.broadcast_mul(&towards).unwrap().sum(1).unwrap()) < 2e-2);
        // (∇f(u) - ∇f(v)) · (u - v) ≥ 0.
        let ends = |rows: &Tensor| (rows.narrow(0, 0, 100).unwrap() - rows.narrow(0, 100, 100).unwrap()).unwrap();
        let products = (ends(&u) * ends(&image)).unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
        assert!(products.iter().all(|&product| product > 0.0));
    }

    #[test]
    fn the_inverse_undoes_it() {
        let (map, u) = (some(), normal(50, 4, 79));
        let back = map.inverse_gradient(&map.gradient(&u).unwrap()).unwrap();
        assert!(worst(&back, &u) < 1e-3);
    }
}
