//! The first map between two spaces and the coupling that it gives.
//!
//! | regime | what is known | entry |
//! |---|---|---|
//! | shared space | both sides come from one model that embeds them together | [`Aligner::shared_space`] |
//! | anchors | a few pairs, the rest unpaired | [`Aligner::anchors`] |
//! | unpaired | nothing but the two sides, or very few pairs | [`Aligner::unpaired`] |
//!
//! All lead to the same [`Alignment`]: what prepares each side, linear maps between the prepared spaces, and a
//! one-to-one coupling of the free items with how far each pair is to be trusted. Training starts there.

mod anchors;
mod confidence;
mod coupler;
mod error;
mod output;
mod params;
mod preparation;
mod principal_axes;
mod refinement;
mod selection;
mod shared_space;
mod softening;
mod structure;
mod unpaired;

pub use anchors::anchors_only;
pub use confidence::{dual_slack, pair_confidence};
pub use coupler::CouplingParams;
pub use error::AlignError;
pub use output::{Alignment, AlignmentReport};
pub use params::{AlignParams, Aligner, Candidate, RefinementParams};
pub use preparation::{Preparation, PreparedMap};
pub use principal_axes::PrincipalAxes;
pub use refinement::RoundReport;
pub use selection::{SelectionReport, mean_log_rank_of_hidden};
pub use softening::{SoftPartners, Softening, soft_partners};
pub use unpaired::{Agreement, StartReport, UnpairedParams, UnpairedReport};
