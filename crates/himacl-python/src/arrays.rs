//! Rows of numbers between numpy and the libraries.
//!
//! The Python side hands over two-dimensional C-ordered arrays of float32, float16, or bfloat16 seen as uint16.

use crate::errors::Failure;
use candle_core::{DType, Device, Tensor};
use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};
use hiref_core::{Permutation, Points, UNMATCHED};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Rows of an array of Python's, borrowed for the length of a call.
pub(crate) enum Rows<'py> {
    F32(PyReadonlyArray2<'py, f32>),
    F16(PyReadonlyArray2<'py, f16>),
    Bf16(PyReadonlyArray2<'py, u16>),
}

impl<'py> FromPyObject<'_, 'py> for Rows<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = object.extract() {
            return Ok(Self::F32(array));
        }
        if let Ok(array) = object.extract() {
            return Ok(Self::F16(array));
        }
        if let Ok(array) = object.extract() {
            return Ok(Self::Bf16(array));
        }
        Err(PyTypeError::new_err("expected a two-dimensional array of float32, float16 or bfloat16"))
    }
}

/// Rows in memory that another thread may read while the array is borrowed.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    values: Values<'a>,
    shape: (usize, usize),
}

#[derive(Clone, Copy)]
enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl Rows<'_> {
    /// The memory of the array, not copied.
    pub(crate) fn view(&self) -> PyResult<View<'_>> {
        let (values, shape) = match self {
            Self::F32(array) => (Values::F32(array.as_slice()?), array.shape()),
            Self::F16(array) => (Values::F16(array.as_slice()?), array.shape()),
            Self::Bf16(array) => (Values::Bf16(array.as_slice()?.reinterpret_cast()), array.shape()),
        };
        Ok(View { values, shape: (shape[0], shape[1]) })
    }
}

impl<'a> View<'a> {
    /// Coordinates of a row.
    pub(crate) fn dimension(self) -> usize {
        self.shape.1
    }

    /// As the solver takes them, not copied.
    pub(crate) fn points(self) -> Points<'a> {
        match self.values {
            Values::F32(values) => Points::new(values, self.shape.1),
            Values::F16(values) => Points::new(values, self.shape.1),
            Values::Bf16(values) => Points::new(values, self.shape.1),
        }
    }

    /// A copy as a tensor in f32, `(n, d)`.
    pub(crate) fn tensor(self) -> Result<Tensor, Failure> {
        let tensor = match self.values {
            Values::F32(values) => Tensor::from_slice(values, self.shape, &Device::Cpu),
            Values::F16(values) => Tensor::from_slice(values, self.shape, &Device::Cpu),
            Values::Bf16(values) => Tensor::from_slice(values, self.shape, &Device::Cpu),
        };
        Ok(tensor?.to_dtype(DType::F32)?)
    }
}

/// A matrix as an array of Python's, float32.
pub(crate) fn matrix(py: Python<'_>, (values, shape): (Vec<f32>, (usize, usize))) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyArray1::from_vec(py, values).reshape([shape.0, shape.1])?.into_any())
}

/// The values of a matrix and its shape.
pub(crate) fn values(tensor: &Tensor) -> Result<(Vec<f32>, (usize, usize)), Failure> {
    let shape = tensor.dims2()?;
    Ok((tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, shape))
}

/// The partner of each x, int64, -1 for none.
pub(crate) fn partners(permutation: &Permutation) -> Vec<i64> {
    permutation.y_of_x().iter().map(|&y| if y == UNMATCHED { -1 } else { i64::from(y) }).collect()
}

/// A pairing from the partner of each x, -1 for none.
pub(crate) fn permutation(y_of_x: &[i64], num_y: usize) -> Result<Permutation, Failure> {
    let partner = |&y: &i64| match y {
        -1 => Ok(UNMATCHED),
        y => u32::try_from(y).map_err(|_| Failure::Input(format!("a partner is {y}, expected a row of y, or -1"))),
    };
    let y_of_x = y_of_x.iter().map(partner).collect::<Result<Vec<u32>, _>>()?;
    Ok(Permutation::new(y_of_x, num_y)?)
}

/// Pairs of rows, `(k, 2)`, as an array of Python's.
pub(crate) fn pairs<'py>(py: Python<'py>, pairs: &[(u32, u32)]) -> PyResult<Bound<'py, PyArray2<i64>>> {
    let flat = pairs.iter().flat_map(|&(x, y)| [i64::from(x), i64::from(y)]).collect();
    PyArray1::from_vec(py, flat).reshape([pairs.len(), 2])
}
