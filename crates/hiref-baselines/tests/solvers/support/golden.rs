//! Reference values of scripts/golden/solvers.py.

use super::matrix;
use candle_core::Tensor;
use hiref_core::{CostKind, Marginals, Problem};
use hiref_testkit::Instance;
use serde_json::Value;
use std::path::Path;

/// One problem with what another implementation found for it.
pub(crate) struct Golden(Value);

impl Golden {
    /// The cases of a file under tests/golden.
    pub(crate) fn read(name: &str) -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        let mut content: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let Value::Array(cases) = content["cases"].take() else { panic!("{name} has no cases") };
        assert!(!cases.is_empty(), "{name} has no cases");
        cases.into_iter().map(Self).collect()
    }

    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap_or_else(|| panic!("{}: no number {key}", self.name()))
    }

    pub(crate) fn count(&self, key: &str) -> usize {
        self.0[key].as_u64().unwrap_or_else(|| panic!("{}: no count {key}", self.name())) as usize
    }

    pub(crate) fn numbers(&self, key: &str) -> Vec<f64> {
        let values = self.0[key].as_array().unwrap_or_else(|| panic!("{}: no numbers {key}", self.name()));
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }

    pub(crate) fn cost(&self) -> CostKind {
        self.0["cost"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn instance(&self) -> Instance {
        let points = |key| self.numbers(key).into_iter().map(|v| v as f32).collect();
        Instance::unknown(self.name(), points("x"), points("y"), self.count("d"))
    }

    /// The supports with the weights, where they are not uniform.
    pub(crate) fn problem(&self) -> Problem<'static> {
        let Instance { x, y, dimension, .. } = self.instance();
        let problem = Problem::new(matrix(&x, dimension), matrix(&y, dimension), self.cost()).unwrap();
        if self.0.get("a").is_none() {
            return problem;
        }
        problem.with_marginals(Marginals::new(self.numbers("a"), self.numbers("b")).unwrap()).unwrap()
    }
}

/// The largest difference between entries.
pub(crate) fn largest_difference(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, |largest, d| if d <= largest { largest } else { d })
}

/// The entries of a tensor, row-major.
pub(crate) fn entries(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}
