//! Features of a Gaussian kernel on unit rows, from landmarks.

use super::error::AlignError;
use super::joint::{ReferenceItems, rows};
use crate::map::{Tensors, inner_products, symmetric_eigen, to_tensor, unit_rows};
use candle_core::{DType, Result, Tensor, bail};
use faer::Mat;

/// Items of a side that serve as landmarks.
const LANDMARKS: usize = 1024;
/// Directions among the landmarks with a smaller share of the largest variance are noise of the arithmetic.
const LEAST_VARIANCE: f64 = 1e-6;
/// Narrower kernels would make rounding of the cosines count.
pub(crate) const LEAST_WIDTH: f64 = 1e-3;
/// More than any entry of the features of unit rows: of at most the inverse root of the least variance.
const LARGEST_FEATURE: f32 = 1e4;
/// Names the draw of the landmarks.
const DRAW: u64 = 3;

/// Takes unit rows to unit features whose inner products are nearly `exp((x·x' - 1) / width)`, a Gaussian of the distance:
/// a linear map of them is a smooth map of the rows, by what an item is near to.
///
/// `φ(x) = k(x, L) U S^-1/2` for landmarks `L` drawn from the items and `k(L, L) = U S Uᵀ` \[WS00\].
///
/// References: \[WS00\] Williams, Seeger, "Using the Nyström method to speed up kernel machines", NIPS 2000.
#[derive(Debug, Clone)]
pub(crate) struct KernelFeatures {
    /// Unit rows, `(l, k)`.
    landmarks: Tensor,
    /// `U S^-1/2`, `(l, f)`.
    features: Tensor,
    /// `(1,)`.
    width: Tensor,
}

impl KernelFeatures {
    /// With landmarks drawn from the unit rows `items`, `(n, k)`. O(l² k + l³).
    pub(crate) fn fit(items: &Tensor, width: f64, seed: u64) -> std::result::Result<Self, AlignError> {
        let drawn = ReferenceItems { limit: LANDMARKS, seed }.of(items.dim(0)?, DRAW);
        let landmarks = rows(items, drawn.as_deref())?; // (l, k)
        let columns = landmarks.t()?.contiguous()?;
        let mut kernel = inner_products(&columns, &columns)?; // (l, l)
        for value in kernel.col_iter_mut().flat_map(faer::ColMut::iter_mut) {
            *value = ((*value - 1.0) / width).exp();
        }
        let (variances, axes) = symmetric_eigen(&kernel)?;
        let kept = variances.iter().take_while(|&&variance| variance > LEAST_VARIANCE * variances[0]).count();
        let features = Mat::from_fn(axes.nrows(), kept, |i, j| axes[(i, j)] / variances[j].sqrt());
        let width = Tensor::new(&[width as f32], items.device())?;
        Ok(Self { features: to_tensor(&features, items.device())?, landmarks, width })
    }

    /// Features, f.
    pub(crate) fn dimension(&self) -> usize {
        self.features.dims()[1]
    }

    /// Unit features, `(n, f)`, of unit rows, `(n, k)`.
    pub(crate) fn apply(&self, items: &Tensor) -> Result<Tensor> {
        let cosines = items.matmul(&self.landmarks.t()?)?; // (n, l)
        let kernel = (cosines - 1.0)?.broadcast_div(&self.width)?.exp()?;
        unit_rows(&kernel.matmul(&self.features)?) // (n, f)
    }

    /// Unit rows, `(n, k)`, that features, `(n, f)`, may have come from: what the kernel interpolates between landmarks.
    pub(crate) fn invert(&self, features: &Tensor) -> Result<Tensor> {
        unit_rows(&features.matmul(&self.features.t()?)?.matmul(&self.landmarks)?)
    }

    /// Its tensors by name.
    pub(crate) fn tensors(&self) -> Tensors {
        [("landmarks", &self.landmarks), ("features", &self.features), ("width", &self.width)]
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .into()
    }

    /// The inverse of [`KernelFeatures::tensors`].
    pub(crate) fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let get = |name: &str, rank: usize| match tensors.get(name) {
            Some(tensor) if tensor.rank() == rank && tensor.dtype() == DType::F32 => Ok(tensor.clone()),
            other => {
                let got = other.map(|tensor| (tensor.dims(), tensor.dtype()));
                bail!("kernel features need `{name}` of rank {rank} in f32, got {got:?}")
            }
        };
        let (landmarks, features, width) = (get("landmarks", 2)?, get("features", 2)?, get("width", 1)?);
        if landmarks.dims()[0] != features.dims()[0] || width.dims() != [1] {
            bail!("kernel features of shape {:?} for landmarks {:?}", features.dims(), landmarks.dims());
        }
        // Within what `fit` makes: nothing overflows then.
        let most = |tensor: &Tensor| -> Result<f32> { tensor.abs()?.flatten_all()?.max(0)?.to_scalar() };
        let width_is = width.to_vec1::<f32>()?[0];
        let longest = most(&landmarks.sqr()?.sum(1)?)?.sqrt();
        if !(width_is >= LEAST_WIDTH as f32 && longest <= 1.01 && most(&features)? <= LARGEST_FEATURE) {
            bail!(
                "kernel features of width {width_is} from landmarks of length {longest}, expected at least {LEAST_WIDTH} and unit rows"
            );
        }
        Ok(Self { landmarks, features, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn items(n: usize) -> Tensor {
        let mut generator = rng::stream(8, &[]);
        let values: Vec<f32> = (0..n * 4).map(|_| StandardNormal.sample(&mut generator)).collect();
        unit_rows(&Tensor::from_vec(values, (n, 4), &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn inner_products_are_the_kernel_and_rows_come_back() {
        let items = items(1100);
        let features = KernelFeatures::fit(&items, 0.5, 0).unwrap();
        let lifted = features.apply(&items).unwrap();
        assert_eq!(lifted.dims(), [1100, features.dimension()]);
        let gram = lifted.matmul(&lifted.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let cosines = items.matmul(&items.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        for i in 0..1100 {
            for j in 0..1100 {
                let expected = ((cosines[i][j] - 1.0) / 0.5).exp();
                assert!((gram[i][j] - expected).abs() < 0.02, "{i}, {j}: {} expected {expected}", gram[i][j]);
            }
        }
        let back = features.invert(&lifted).unwrap();
        let cosine = (back * items).unwrap().sum(1).unwrap().min(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(cosine > 0.98, "{cosine}");
    }

    #[test]
    fn tensors_rebuild_it() {
        let items = items(20);
        let features = KernelFeatures::fit(&items, 0.3, 0).unwrap();
        let again = KernelFeatures::from_tensors(&features.tensors()).unwrap();
        let bits = |features: &KernelFeatures| features.apply(&items).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(bits(&features), bits(&again));
        let mut broken = features.tensors();
        broken.insert("landmarks".to_owned(), items.narrow(0, 0, 3).unwrap());
        assert!(KernelFeatures::from_tensors(&broken).unwrap_err().to_string().contains("for landmarks [3, 4]"));
        assert!(KernelFeatures::from_tensors(&Tensors::new()).is_err());
        let mut broken = features.tensors();
        broken.insert("width".to_owned(), Tensor::new(&[0f32], &Device::Cpu).unwrap());
        assert!(KernelFeatures::from_tensors(&broken).unwrap_err().to_string().contains("of width 0"));
    }
}
