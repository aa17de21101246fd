//! Why a solve ended; not converging is a result, not an error.

use serde::{Deserialize, Serialize};

/// Why a solve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// Solved exactly, or what is still to be gained is below the tolerance.
    Converged,
    /// The limit of sweeps or iterations was reached first.
    MaxIterations,
    /// The time limit was reached first.
    TimeLimit,
    /// The observer asked to stop; the coupling is complete, of the quality reached so far.
    Interrupted,
}
