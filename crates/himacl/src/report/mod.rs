//! summary.json.

mod train_summary;

pub use train_summary::{ProblemSummary, RunSummary, TrainSummary};
