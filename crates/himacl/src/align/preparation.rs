//! How the embeddings of one side are prepared before they are mapped or compared.

use super::error::AlignError;
use super::kernel::KernelFeatures;
use super::principal_axes::{PrincipalAxes, checked_unit_rows, mean_row, mean_square};
use crate::map::{Tensors, TwoWayMap, unit_rows};
use candle_core::{D, DType, Error, Result, Tensor, bail};
use std::f64::consts::FRAC_1_SQRT_2;

/// Rows that are taken through a kernel at once: its values at all landmarks are many more than coordinates.
const CHUNK_ROWS: usize = 32768;

/// Takes embeddings to unit vectors of the space in which maps are fitted: unit rows, minus the mean, unit rows again,
/// and, where there are axes, minus the second mean, projected on the scaled axes, unit rows once more.
///
/// Where maps are to be smooth rather than linear, features of a kernel on those rows stand beside them, as unit rows too.
///
/// Fitted without any pairing; the same on items that were not there when it was fitted.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Mean of the unit rows, `(1, d)`.
    mean: Tensor,
    /// Root mean square length after the first centring, `(1,)`: what [`Preparation::invert`] puts back.
    radius: Tensor,
    projection: Option<Projection>,
    kernel: Option<Box<Kernel>>,
}

/// What stands beside the projection where the map is to be smooth rather than linear.
#[derive(Debug, Clone)]
struct Kernel {
    features: KernelFeatures,
    /// Prepares features as it would embeddings.
    then: Preparation,
}

/// Coordinates along scaled principal axes.
#[derive(Debug, Clone)]
struct Projection {
    /// `(1, d)`.
    second_mean: Tensor,
    /// Principal axes times their whitening scales, `(d, k)`.
    axes: Tensor,
    /// Root mean square length of the scaled coordinates, `(1,)`.
    length: Tensor,
}

impl Preparation {
    /// Centring alone: the space keeps its d dimensions. `embeddings (n, d)`; O(n d).
    ///
    /// # Errors
    /// Embeddings that are empty, not finite or all zero.
    pub fn centring(embeddings: &Tensor, side: &'static str) -> std::result::Result<Self, AlignError> {
        let unit = checked_unit_rows(embeddings, side)?;
        let mean = mean_row(&unit)?;
        let radius = (mean_square(&unit.broadcast_sub(&mean)?)? * unit.dim(1)? as f64).sqrt();
        Ok(Self { radius: scalar(radius, &mean)?, mean, projection: None, kernel: None })
    }

    /// The first `dimension` principal axes, each divided by `(s_j / s_1)^power` for its standard deviation `s_j`:
    /// power 0 leaves the variances as they are, 1 makes them equal.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn whitening(axes: &PrincipalAxes, dimension: usize, power: f64) -> Result<Self> {
        let dimension = dimension.clamp(1, axes.len());
        let scales = &axes.whitening_scales(power)[..dimension];
        let square: f64 =
            scales.iter().zip(&axes.deviations).map(|(scale, deviation)| (scale * deviation).powi(2)).sum();
        let scales = Tensor::from_iter(scales.iter().map(|&scale| scale as f32), axes.mean.device())?; // (k,)
        let scaled = axes.axes.narrow(1, 0, dimension)?.broadcast_mul(&scales)?; // (d, k)
        let length = scalar(square.sqrt(), &axes.mean)?;
        let projection = Projection { second_mean: axes.second_mean.clone(), axes: scaled, length };
        let radius = scalar(axes.radius, &axes.mean)?;
        Ok(Self { mean: axes.mean.clone(), radius, projection: Some(projection), kernel: None })
    }

    /// This preparation, and beside it features of a kernel on its unit rows, as `then` prepares them.
    pub(crate) fn beside(self, features: KernelFeatures, then: Self) -> Self {
        Self { kernel: Some(Box::new(Kernel { features, then })), ..self }
    }

    /// Where its tensors live.
    pub fn device(&self) -> &candle_core::Device {
        self.mean.device()
    }

    /// Coordinates of the embeddings that it takes, d.
    pub fn input_dimension(&self) -> usize {
        self.mean.elem_count()
    }

    /// Coordinates of the space it leads to, k.
    pub fn dimension(&self) -> usize {
        self.linear_dimension() + self.kernel.as_ref().map_or(0, |kernel| kernel.then.dimension())
    }

    /// Coordinates without those of a kernel.
    pub(crate) fn linear_dimension(&self) -> usize {
        self.projection.as_ref().map_or(self.input_dimension(), |projection| projection.axes.dims()[1])
    }

    /// Unit rows of the prepared space, `(n, k)`, for embeddings `(n, d)` of any float type; a row that is zero stays zero.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, embeddings: &Tensor) -> Result<Tensor> {
        match (&self.projection, &self.kernel) {
            (None, None) => self.centred(embeddings),
            _ => unit_rows(&self.coordinates(embeddings)?),
        }
    }

    /// The scaled coordinates before they are made unit rows, `(n, k)`: the first columns of it, made unit rows, are the
    /// same preparation at a lower dimension. With a kernel the unit rows, half of whose square length is its features'.
    pub(crate) fn coordinates(&self, embeddings: &Tensor) -> Result<Tensor> {
        let Some(kernel) = &self.kernel else { return self.projected(embeddings) };
        let chunk = |start: usize| -> Result<Tensor> {
            let rows = embeddings.narrow(0, start, CHUNK_ROWS.min(embeddings.dim(0)? - start))?;
            let linear = unit_rows(&self.projected(&rows)?)?; // (rows, k)
            let smooth = kernel.then.apply(&kernel.features.apply(&linear)?)?; // (rows, l)
            Tensor::cat(&[linear, smooth], 1)? * FRAC_1_SQRT_2 // (rows, k + l)
        };
        let chunks = (0..embeddings.dim(0)?.max(1)).step_by(CHUNK_ROWS).map(chunk);
        Tensor::cat(&chunks.collect::<Result<Vec<_>>>()?, 0)
    }

    /// The scaled coordinates along the axes, `(n, k)`.
    fn projected(&self, embeddings: &Tensor) -> Result<Tensor> {
        let rows = self.centred(embeddings)?; // (n, d)
        match &self.projection {
            None => Ok(rows),
            Some(projection) => rows.broadcast_sub(&projection.second_mean)?.matmul(&projection.axes), // (n, k)
        }
    }

    fn centred(&self, embeddings: &Tensor) -> Result<Tensor> {
        let columns = embeddings.dim(D::Minus1)?;
        if columns != self.input_dimension() {
            // Not `bail!`, which puts a trace into the message.
            return Err(Error::Msg(format!(
                "embeddings have {columns} coordinates, expected {}",
                self.input_dimension()
            )));
        }
        unit_rows(&unit_rows(&embeddings.to_dtype(DType::F32)?)?.broadcast_sub(&self.mean)?)
    }

    /// Embeddings, `(n, d)`, unit rows, that prepared rows, `(n, k)`, may have come from.
    ///
    /// What preparation loses, the length of a row after each centring and what lies off the axes, is put back as its
    /// root mean square and as zero. With a kernel, the mean of what the coordinates and the features may have come from.
    ///
    /// # Errors
    /// Rows of another dimension than k.
    pub fn invert(&self, prepared: &Tensor) -> Result<Tensor> {
        let unit = match &self.kernel {
            None => unit_rows(&prepared.to_dtype(DType::F32)?)?,
            Some(kernel) => {
                let (prepared, k) = (prepared.to_dtype(DType::F32)?, self.linear_dimension());
                let linear = unit_rows(&prepared.narrow(1, 0, k)?)?;
                let features = kernel.then.invert(&prepared.narrow(1, k, prepared.dim(1)? - k)?.contiguous()?)?;
                unit_rows(&(linear + kernel.features.invert(&features)?)?)?
            }
        }; // (n, k)
        let centred = match &self.projection {
            None => unit,
            Some(projection) => {
                // The axes are orthogonal: the pseudo-inverse divides each by its squared length.
                let squares = projection.axes.sqr()?.sum_keepdim(0)?; // (1, k)
                let coordinates = unit.broadcast_mul(&projection.length)?.broadcast_div(&squares)?; // (n, k)
                unit_rows(&coordinates.matmul(&projection.axes.t()?)?.broadcast_add(&projection.second_mean)?)? // (n, d)
            }
        };
        unit_rows(&centred.broadcast_mul(&self.radius)?.broadcast_add(&self.mean)?)
    }

    /// Its tensors by name: `mean`, `radius`; `second_mean`, `axes`, `length` where it projects; `kernel.NAME` and
    /// `then.NAME` where there is a kernel.
    pub fn tensors(&self) -> Tensors {
        let mut tensors =
            Tensors::from([("mean".to_owned(), self.mean.clone()), ("radius".to_owned(), self.radius.clone())]);
        if let Some(projection) = &self.projection {
            tensors.insert("second_mean".to_owned(), projection.second_mean.clone());
            tensors.insert("axes".to_owned(), projection.axes.clone());
            tensors.insert("length".to_owned(), projection.length.clone());
        }
        if let Some(kernel) = &self.kernel {
            for (prefix, named) in [("kernel.", kernel.features.tensors()), ("then.", kernel.then.tensors())] {
                tensors.extend(named.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
            }
        }
        tensors
    }

    /// The inverse of [`Preparation::tensors`].
    ///
    /// # Errors
    /// A missing tensor, or one of another shape.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let get = |name: &str, expected: &[usize]| match tensors.get(name) {
            Some(tensor) if tensor.dims() == expected => Ok(tensor.clone()),
            Some(tensor) => bail!("a preparation whose `{name}` has shape {:?}, expected {expected:?}", tensor.dims()),
            None => bail!("a preparation without `{name}`"),
        };
        let Some(columns) = tensors.get("mean").and_then(|mean| mean.dims().last().copied()) else {
            bail!("a preparation without `mean`");
        };
        let row = [1, columns];
        let projection = match tensors.get("axes") {
            None => None,
            Some(axes) => {
                let axes = get("axes", &[columns, axes.elem_count() / columns.max(1)])?;
                Some(Projection { second_mean: get("second_mean", &row)?, axes, length: get("length", &[1])? })
            }
        };
        let part = |prefix: &str| -> Tensors {
            let named = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
            named.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
        };
        let kernel = match part("kernel.") {
            none if none.is_empty() => None,
            features => {
                let features = KernelFeatures::from_tensors(&features)?;
                let then = Self::from_tensors(&part("then."))?;
                if then.input_dimension() != features.dimension() {
                    bail!("`then` prepares {} features, expected {}", then.input_dimension(), features.dimension());
                }
                Some(Box::new(Kernel { features, then }))
            }
        };
        Ok(Self { mean: get("mean", &row)?, radius: get("radius", &[1])?, projection, kernel })
    }
}

fn scalar(value: f64, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(vec![value as f32], 1, like.device())
}

/// Maps between two prepared spaces, with what prepares each side.
#[derive(Debug, Clone)]
pub struct PreparedMap {
    /// Prepares source embeddings.
    pub source: Preparation,
    /// Prepares target embeddings.
    pub target: Preparation,
    /// Maps prepared sources to prepared targets, and back.
    pub map: TwoWayMap,
}

impl PreparedMap {
    /// Both sides, `(n, d)` and `(m, e)`, in joint coordinates whose inner products are the scores.
    ///
    /// # Errors
    /// Rows of other dimensions than those fitted on.
    pub fn joint(&self, source: &Tensor, target: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((self.joint_sources(source)?, self.joint_targets(target)?))
    }

    /// The source side of [`PreparedMap::joint`].
    ///
    /// # Errors
    /// Rows of another dimension than those fitted on.
    pub fn joint_sources(&self, source: &Tensor) -> Result<Tensor> {
        self.map.joint_sources(&self.source.apply(source)?)
    }

    /// The target side of [`PreparedMap::joint`].
    ///
    /// # Errors
    /// Rows of another dimension than those fitted on.
    pub fn joint_targets(&self, target: &Tensor) -> Result<Tensor> {
        self.map.joint_targets(&self.target.apply(target)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn rows(n: usize, d: usize) -> Tensor {
        let mut generator = rng::stream(5, &[]);
        let values: Vec<f32> = (0..n * d)
            .map(|at| {
                let value: f32 = StandardNormal.sample(&mut generator);
                0.5 + value / (1.0 + (at % d) as f32)
            })
            .collect();
        Tensor::from_vec(values, (n, d), &Device::Cpu).unwrap()
    }

    fn to_vec(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn full_whitening_makes_directions_equal() {
        let x = rows(400, 6);
        let axes = PrincipalAxes::fit(&x, 6, 0, "source").unwrap();
        let coordinates = Preparation::whitening(&axes, 6, 1.0).unwrap().coordinates(&x).unwrap();
        let squares = inner(&coordinates);
        let first = squares[0];
        for (at, value) in squares.iter().enumerate() {
            let expected = if at % 7 == 0 { first } else { 0.0 };
            assert!((value - expected).abs() < 1e-3 * first, "entry {at}: {value}, expected {expected}");
        }
    }

    /// Beside it the first axes of a kernel's features.
    fn smooth(preparation: Preparation, x: &Tensor, dimension: usize) -> Preparation {
        let prepared = preparation.apply(x).unwrap();
        let kernel = KernelFeatures::fit(&prepared, 0.5, 0).unwrap();
        let axes = PrincipalAxes::fit(&kernel.apply(&prepared).unwrap(), dimension, 0, "source").unwrap();
        preparation.beside(kernel, Preparation::whitening(&axes, dimension, 0.0).unwrap())
    }

    fn inner(rows: &Tensor) -> Vec<f32> {
        to_vec(&rows.t().unwrap().matmul(rows).unwrap())
    }

    #[test]
    fn preparing_what_was_inverted_gives_it_back() {
        let x = rows(200, 5);
        let axes = PrincipalAxes::fit(&x, 5, 0, "source").unwrap();
        let whitening = Preparation::whitening(&axes, 5, 0.3).unwrap();
        for preparation in [Preparation::centring(&x, "source").unwrap(), whitening.clone(), smooth(whitening, &x, 40)]
        {
            let prepared = preparation.apply(&x).unwrap();
            assert_eq!(prepared.dims(), [200, preparation.dimension()]);
            let again = preparation.apply(&preparation.invert(&prepared).unwrap()).unwrap();
            let cosine = (prepared * again).unwrap().sum(1).unwrap().mean(0).unwrap().to_scalar::<f32>().unwrap();
            assert!(cosine > 0.95, "{cosine}");
        }
    }

    #[test]
    fn tensors_rebuild_it_and_scale_does_not_matter() {
        let x = rows(50, 4);
        let axes = PrincipalAxes::fit(&x, 4, 0, "source").unwrap();
        let preparation = Preparation::whitening(&axes, 3, 0.5).unwrap();
        for preparation in [preparation.clone(), smooth(preparation.clone(), &x, 7)] {
            let again = Preparation::from_tensors(&preparation.tensors()).unwrap();
            assert_eq!(to_vec(&preparation.apply(&x).unwrap()), to_vec(&again.apply(&x).unwrap()));
            let double = to_vec(&preparation.apply(&(&x * 2.0).unwrap()).unwrap());
            assert_eq!(to_vec(&preparation.apply(&x).unwrap()), double);
        }
        let mut torn = smooth(preparation.clone(), &x, 7).tensors();
        torn.retain(|name, _| name != "then.mean");
        assert!(Preparation::from_tensors(&torn).unwrap_err().to_string().contains("without `mean`"));
        assert!(preparation.apply(&rows(3, 5)).unwrap_err().to_string().contains("expected 4"));
        assert!(Preparation::from_tensors(&Tensors::new()).is_err());
    }
}
