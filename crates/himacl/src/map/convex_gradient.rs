//! The gradient of a convex function: an optimal transport map whatever its parameters are, with an exact inverse.

use super::decomposition::solve_positive_definite;
use super::linear::{LinearMap, to_mat, to_tensor};
use super::{Map, Tensors, decode, encode};
use candle_core::{D, Result, Tensor, bail};
use faer::Mat;
use himacl_nn::{linear, sigmoid};

/// Iterations of the inverse at most; each gains a digit in some two to five.
const INVERSE_ITERATIONS: usize = 500;
/// What is left of `T(x) - y` at most, relative to the spread of the map's images.
const INVERSE_TOLERANCE: f64 = 1e-5;
/// Added to the diagonal of the bound of the Hessian, relative to its mean.
const RIDGE: f64 = 1e-6;

/// `T(x) = ∇f(x)` with `f(x) = |x L|² / 2 + b · x + Σ_k e^(s_k) softplus(w_k · x + c_k)`:
/// `T(x) = x L Lᵀ + b + Σ_k e^(s_k) σ(w_k · x + c_k) w_k`.
///
/// f is convex whatever L, b, w, c and s are, so T is the optimal transport map for the squared distance between any
/// distribution and what T makes of it (\[Bre91\]). Its inverse is the gradient of the conjugate of f: it belongs to T and
/// need not be learnt. [`ConvexGradient::fit`] finds one between two sets without a pair.
///
/// References: \[Bre91\] Brenier, "Polar factorization and monotone rearrangement of vector-valued functions",
/// Communications on Pure and Applied Mathematics 44, 1991; \[AXK17\] Amos, Xu, Kolter, "Input convex neural networks", ICML
/// 2017.
#[derive(Debug, Clone)]
pub struct ConvexGradient {
    /// L, `(d, d)`.
    pub root: Tensor,
    /// b, `(d,)`.
    pub bias: Tensor,
    /// `w_k` as columns, `(d, k)`, and c, `(k,)`.
    pub units: LinearMap,
    /// s, the logarithms of the units' sizes, `(k,)`.
    pub log_sizes: Tensor,
}

impl ConvexGradient {
    /// Maps the rows of `x`, `(n, d)`; differentiable in every tensor of the map.
    ///
    /// *Complexity*: O(n d (d + k) + d³).
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.with_quadratic(&self.quadratic()?, x)
    }

    /// `L Lᵀ`.
    pub(super) fn quadratic(&self) -> Result<Tensor> {
        self.root.matmul(&self.root.t()?)
    }

    /// As [`ConvexGradient::apply`], where `L Lᵀ` is at hand.
    pub(super) fn with_quadratic(&self, quadratic: &Tensor, x: &Tensor) -> Result<Tensor> {
        let active = sigmoid(&self.units.apply(x)?)?.broadcast_mul(&self.log_sizes.exp()?)?; // (n, k)
        linear(x, quadratic, &self.bias)? + active.matmul(&self.units.weight.t()?)? // (n, d)
    }

    /// The parameters: `root`, `bias`, `units.weight`, `units.bias`, `log_sizes`.
    pub(super) fn tensors(&self) -> Tensors {
        let named = [
            ("root", &self.root),
            ("bias", &self.bias),
            ("units.weight", &self.units.weight),
            ("units.bias", &self.units.bias),
            ("log_sizes", &self.log_sizes),
        ];
        named.into_iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
    }

    /// The inverse of [`ConvexGradient::tensors`], with `units` read already.
    pub(super) fn from_tensors(tensors: &Tensors, units: LinearMap) -> Result<Self> {
        let (d, k) = units.weight.dims2()?;
        let get = |name: &str, shape: &[usize]| match tensors.get(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor.clone()),
            Some(tensor) => bail!("`{name}` has shape {:?}, expected {shape:?}", tensor.dims()),
            None => bail!("the map has no tensor `{name}`"),
        };
        Ok(Self { root: get("root", &[d, d])?, bias: get("bias", &[d])?, log_sizes: get("log_sizes", &[k])?, units })
    }

    /// The bytes of a safetensors file with the parameters.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        encode(&self.tensors())
    }

    /// The inverse of [`ConvexGradient::to_bytes`].
    ///
    /// # Errors
    /// Bytes that hold something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        match Map::from_tensors(&decode(bytes)?)? {
            Map::ConvexGradient(map) => Ok(*map),
            Map::AlignedConvexGradient(_) => {
                bail!("the file holds a gradient that acts after a linear map, expected one that acts alone")
            }
            other => bail!("the file holds a map of kind `{}`, expected `convex-gradient`", other.kind()),
        }
    }

    /// f of each row of `x`, `(n,)`.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn potential(&self, x: &Tensor) -> Result<Tensor> {
        let units = softplus(&self.units.apply(x)?)?.broadcast_mul(&self.log_sizes.exp()?)?.sum(1)?; // (n,)
        let quadratic = (x.matmul(&self.root)?.sqr()?.sum(1)? * 0.5)?;
        let slope = x.broadcast_mul(&self.bias)?.sum(1)?;
        (units + quadratic)? + slope
    }

    /// The rows x with `T(x) = y` for `y (n, d)`, the inverse: where f is largest below the plane of slope y.
    ///
    /// Descends `f(x) - x · y` by the bound `L Lᵀ + Σ_k e^(s_k) w_k w_kᵀ / 4` of the Hessian of f with the step lengths of
    /// \[BB88\], which are at least 1 in its metric, until `T(x)` is y to 1e-5 of the images' spread.
    ///
    /// *Complexity*: O(n d (d + k)) an iteration, O(d² (d + k)) once.
    ///
    /// References: \[BB88\] Barzilai, Borwein, "Two-point step size gradient methods", IMA Journal of Numerical Analysis 8,
    /// 1988.
    ///
    /// # Errors
    /// Rows of another dimension than d; rows that are no images, because the map is not onto (a singular L).
    pub fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        let metric = inverse_of_bound(&self.hessian_bound()?)?;
        let start = y.broadcast_sub(&self.bias)?.matmul(&metric)?;
        let quadratic = self.quadratic()?;
        let gradient = |x: &Tensor| self.with_quadratic(&quadratic, x);
        Descent { gradient: &gradient, inverse_metric: Some(&metric) }.to_the_end(y, start)
    }

    /// An upper bound of the Hessian of f, `(d, d)`: a logistic function has slope 1/4 at most.
    fn hessian_bound(&self) -> Result<Tensor> {
        let weighted = self.units.weight.broadcast_mul(&(self.log_sizes.exp()? * 0.25)?)?;
        self.quadratic()? + weighted.matmul(&self.units.weight.t()?)?
    }

    /// From `x` towards `T(x) = y` in the metric of the coordinates.
    pub(super) fn solve(&self, y: &Tensor, x: Tensor, tolerance: f64, iterations: usize) -> Result<Tensor> {
        let quadratic = self.quadratic()?;
        let gradient = |x: &Tensor| self.with_quadratic(&quadratic, x);
        Ok(Descent { gradient: &gradient, inverse_metric: None }.towards(y, x, tolerance, iterations)?.x)
    }
}

/// The inverse of an upper bound of a Hessian, `(d, d)`, with a small ridge.
pub(super) fn inverse_of_bound(bound: &Tensor) -> Result<Tensor> {
    let device = bound.device();
    let mut bound = to_mat(bound)?;
    let size = bound.nrows();
    let mean = (0..size).map(|i| bound[(i, i)]).sum::<f64>() / size.max(1) as f64;
    (0..size).for_each(|i| bound[(i, i)] += RIDGE * mean.max(f64::MIN_POSITIVE));
    let inverse = solve_positive_definite(bound, Mat::identity(size, size)).map_err(candle_core::Error::wrap)?;
    to_tensor(&inverse, device)
}

/// The way to where the gradient of a convex function is what it should be.
pub(super) struct Descent<'a> {
    pub(super) gradient: &'a dyn Fn(&Tensor) -> Result<Tensor>,
    /// That of the coordinates where there is none; else the inverse of an upper bound of the Hessian.
    pub(super) inverse_metric: Option<&'a Tensor>,
}

impl Descent<'_> {
    /// From `x` to `T(x) = y`.
    pub(super) fn to_the_end(&self, y: &Tensor, x: Tensor) -> Result<Tensor> {
        let solved = self.towards(y, x, INVERSE_TOLERANCE, INVERSE_ITERATIONS)?;
        if solved.residual > 10.0 * INVERSE_TOLERANCE {
            bail!("no source has these images: {:.1e} of their spread is left", solved.residual);
        }
        Ok(solved.x)
    }

    /// From `x` towards `T(x) = y`.
    fn towards(&self, y: &Tensor, x: Tensor, tolerance: f64, iterations: usize) -> Result<Solved> {
        let metric = self.inverse_metric;
        let in_metric = |rows: &Tensor| metric.map_or_else(|| Ok(rows.clone()), |metric| rows.matmul(metric));
        let least = if metric.is_some() { 1.0 } else { SHORTEST };
        let spread = mean_square(&y.broadcast_sub(&y.mean_keepdim(0)?)?)?.max(f64::MIN_POSITIVE);
        let mut x = x;
        let mut gradient = ((self.gradient)(&x)? - y)?;
        let mut descent = in_metric(&gradient)?;
        let mut step = (Tensor::ones((x.dim(0)?, 1), x.dtype(), x.device())? * least.max(0.5))?;
        let mut residual = (mean_square(&gradient)? / spread).sqrt();
        for _ in 0..iterations {
            if residual <= tolerance {
                break;
            }
            let moved = descent.broadcast_mul(&step.neg()?)?;
            x = (x + &moved)?;
            let next = ((self.gradient)(&x)? - y)?;
            let next_descent = in_metric(&next)?;
            let (turned, other) = ((&next - &gradient)?, (&next_descent - &descent)?);
            let length = (&turned * other)?.sum_keepdim(D::Minus1)?;
            let along = (&turned * moved)?.sum_keepdim(D::Minus1)?;
            // Where nothing moves any more, 0 / 0 becomes the shortest step.
            step = (along / (length + f64::from(f32::MIN_POSITIVE))?)?.clamp(least, LONGEST)?;
            (gradient, descent) = (next, next_descent);
            residual = (mean_square(&gradient)? / spread).sqrt();
        }
        Ok(Solved { x, residual })
    }
}

/// The shortest and the longest step of [`Descent`].
const SHORTEST: f64 = 0.05;
const LONGEST: f64 = 20.0;

/// What it came to.
struct Solved {
    x: Tensor,
    /// The root mean square of `T(x) - y`, relative to the spread of y.
    residual: f64,
}

/// `ln(1 + eˣ)` without overflow.
pub(super) fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// The mean over rows of their squared lengths.
fn mean_square(rows: &Tensor) -> Result<f64> {
    Ok(f64::from(rows.sqr()?.sum(1)?.mean(0)?.to_scalar::<f32>()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    pub(crate) fn normal(rows: usize, columns: usize, purpose: u64) -> Tensor {
        let mut generator = rng::stream(3, &[purpose]);
        let values: Vec<f32> = (0..rows * columns).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    /// Of `d` dimensions with `k` units.
    pub(crate) fn some(d: usize, k: usize, purpose: u64) -> ConvexGradient {
        let row = |purpose, columns| normal(1, columns, purpose).flatten_all().unwrap();
        let root =
            (Tensor::eye(d, DType::F32, &Device::Cpu).unwrap() + (normal(d, d, purpose) * 0.1).unwrap()).unwrap();
        let units = LinearMap { weight: normal(d, k, purpose + 1), bias: row(purpose + 2, k) };
        ConvexGradient { root, bias: row(purpose + 3, d), units, log_sizes: row(purpose + 4, k) }
    }

    fn worst(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn by_hand_in_one_dimension() {
        let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
        let matrix = |value: f32| tensor(value).reshape((1, 1)).unwrap();
        let units = LinearMap { weight: matrix(2.0), bias: tensor(-2.0) };
        let map =
            ConvexGradient { root: matrix(3.0), bias: tensor(0.5), units, log_sizes: tensor(std::f32::consts::LN_2) };
        // 9 x + 0.5 + 2 σ(2 x - 2) · 2 at x = 1.
        assert!(worst(&map.apply(&matrix(1.0)).unwrap(), &matrix(9.0 + 0.5 + 2.0)) < 1e-5);
        // 9 / 2 + 0.5 + 2 ln 2.
        let potential = map.potential(&matrix(1.0)).unwrap();
        assert!(worst(&potential, &tensor(5.0 + 2.0 * std::f32::consts::LN_2)) < 1e-5);
    }

    #[test]
    fn it_is_the_gradient_of_its_potential() {
        let (map, x) = (some(4, 6, 10), normal(5, 4, 20));
        let image = map.apply(&x).unwrap();
        let towards = normal(1, 4, 21);
        let at = |step: f64| map.potential(&x.broadcast_add(&(&towards * step).unwrap()).unwrap()).unwrap();
        let slope = ((at(1e-2) - at(-1e-2)).unwrap() / 2e-2).unwrap();
        assert!(worst(&slope, &image.broadcast_mul(&towards).unwrap().sum(1).unwrap()) < 1e-2);
    }

    #[test]
    fn the_inverse_undoes_it() {
        for (d, k) in [(3, 5), (12, 40)] {
            let (map, x) = (some(d, k, 30), normal(50, d, 40));
            let back = map.inverse(&map.apply(&x).unwrap()).unwrap();
            assert!(worst(&back, &x) < 1e-3, "{d} dimensions");
        }
    }

    #[test]
    fn bytes_hold_the_map() {
        let (map, x) = (some(3, 5, 60), normal(4, 3, 61));
        let again = ConvexGradient::from_bytes(&map.to_bytes().unwrap()).unwrap();
        assert_eq!(worst(&again.apply(&x).unwrap(), &map.apply(&x).unwrap()), 0.0);
        let linear = encode(&Map::Linear(map.units).tensors()).unwrap();
        assert!(ConvexGradient::from_bytes(&linear).unwrap_err().to_string().contains("`linear`"));
    }

    #[test]
    fn what_is_no_image_has_no_source() {
        let mut map = some(2, 3, 50);
        // Bounded units alone: images are within the sum of their sizes.
        map.root = map.root.zeros_like().unwrap();
        let far = Tensor::new(&[[1e3f32, 0.0], [0.0, 1e3]], &Device::Cpu).unwrap();
        assert!(map.inverse(&far).unwrap_err().to_string().contains("no source"));
    }
}
