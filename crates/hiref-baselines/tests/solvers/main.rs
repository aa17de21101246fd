//! The solvers against reference values of other implementations, and against known answers.

mod low_rank;
mod minibatch;
mod progot;
mod sinkhorn;
mod support;
