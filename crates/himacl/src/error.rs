//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line.

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The solver refused the problem.
    #[error(transparent)]
    Solver(#[from] hiref_core::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
