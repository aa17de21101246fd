//! Pairing sets that do not fit memory, on one machine or on many.
//!
//! A [`Plan`] says into which blocks the sets are divided; a [`Job`] is a run in a folder of temporary files, whose steps consist of tasks
//! that are functions from files to one file. [`local::run`] runs them here, with as many workers as are wanted; whoever has a
//! cluster runs [`Job::run`] there, with the folders on storage that all machines see. The bytes of the result are the same.
//! docs/out-of-core.md tells what the steps do.

mod balance;
mod block;
mod clusters;
mod context;
mod cut;
mod error;
mod inputs;
mod job;
pub mod local;
mod plan;
mod reads;
mod segments;
mod step;
mod steps;
mod vectors;

pub use error::Error;
pub use job::{Job, Outcome, StepReport};
pub use plan::{Input, Plan, Settings};
pub use step::{Step, work_files};
pub use steps::{Gap, result_files};
