//! The part of summary.json that every command writes, how it is measured, and runs as HTML.

mod memory;
mod page;
mod run;
mod train_summary;

pub use memory::{available_memory, peak_rss_bytes, rss_bytes};
pub use page::{is_page, page};
pub use run::{Recorder, RunReport, Seconds, write_config, write_summary};
pub use train_summary::{Figures, ProblemSummary, RunFigures, TrainSummary, WithReport};
