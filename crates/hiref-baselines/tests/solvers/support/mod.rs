//! What the tests share: from a testkit problem to the solvers' own.

pub(crate) mod golden;

use candle_core::{Device, Tensor};
use hiref_core::{CostKind, Problem};
use hiref_testkit::{Cost, Instance};

// The solvers' large short-lived buffers make the system's allocator spend most of the time mapping pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The testkit's own version of a cost.
pub(crate) fn reference(cost: CostKind) -> Cost {
    Cost::of_name(cost.name())
}

pub(crate) fn matrix(rows: &[f32], dimension: usize) -> Tensor {
    Tensor::from_slice(rows, (rows.len() / dimension, dimension), &Device::Cpu).unwrap()
}

pub(crate) fn problem(instance: &Instance, cost: CostKind) -> Problem<'static> {
    let d = instance.dimension;
    Problem::new(matrix(&instance.x, d), matrix(&instance.y, d), cost).unwrap()
}
