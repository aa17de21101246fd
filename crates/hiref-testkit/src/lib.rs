//! Transport problems whose answer is known by construction, and checkers that share no code with the solvers.
//!
//! Everything works on plain row-major slices: points are `(n, d)`, f32; a pairing is `y_of_x`, `(n,)`, with [`UNMATCHED`]
//! where an x point has no partner.
//!
//! | module | what it is |
//! |---|---|
//! | [`cost`] | the costs, written down a second time |
//! | [`problems`] | problems with a known optimum, and random ones |
//! | [`assignment`] | an exact reference solver for small problems |
//! | [`check`] | [`check_coupling`]: does a result hold what it claims? |

pub mod assignment;
pub mod check;
pub mod cost;
pub mod problems;

pub use assignment::{Assignment, exact_assignment, exact_of_matrix};
pub use check::{Claim, Verified, assert_relative, check_coupling};
pub use cost::Cost;
pub use problems::Instance;

/// The partner of a point that has none.
pub const UNMATCHED: u32 = u32::MAX;
