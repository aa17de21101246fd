//! Solvers for one block.

pub mod assignment;
