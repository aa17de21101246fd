//! The part of summary.json that every command writes, how it is measured, and runs as HTML.

mod memory;
mod run;
mod story;
mod train_summary;

pub use memory::{available_memory, peak_rss_bytes, rss_bytes};
pub use run::{Recorder, RunReport, Seconds, write_config, write_summary};
pub use story::{Curve, Curves, Story, Table, story};
pub use train_summary::{Figures, ProblemSummary, RunFigures, TrainSummary, WithReport, choices_in_words};
