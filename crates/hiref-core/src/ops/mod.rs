//! Fused operations on tensors: one folder each, the CPU path is the specification.

mod balanced_projection;

pub(crate) use balanced_projection::mirror_step;
