//! The names of the files that a run writes.

/// The solver's state.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// The coupling.
pub(super) const PERMUTATION: &str = "permutation.npy";
/// The pairs with their metadata.
pub(super) const PAIRS: &str = "pairs.parquet";
/// What a later run can start from.
pub(super) const WARM_START: &str = "warm-start.safetensors";
/// The certificate.
pub(super) const POTENTIALS: &str = "potentials.npy";
/// The ids of the pairs that are kept.
pub(super) const UIDS: &str = "uids.npy";

/// All of them.
pub(super) const FILES: [&str; 8] =
    ["config.toml", "summary.json", CHECKPOINT, PERMUTATION, PAIRS, WARM_START, POTENTIALS, UIDS];
