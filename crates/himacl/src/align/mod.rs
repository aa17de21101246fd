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
mod axes;
mod confidence;
mod error;
mod hidden_pairs;
mod joint;
mod kernel;
mod known_pairs;
mod margin;
mod output;
mod params;
mod predicted;
mod preparation;
mod principal_axes;
mod probability;
mod refinement;
mod report;
mod selection;
mod shared_space;
mod softening;
mod structure;
mod unpaired;
mod warm_coupling;

pub use confidence::{dual_slack, pair_confidence};
pub use error::AlignError;
pub use hidden_pairs::{RankComparison, compare_on_hidden, mean_log_rank_of_hidden};
pub use joint::ReferenceItems;
pub use known_pairs::anchors_only;
pub use margin::pair_margins;
pub use output::Alignment;
pub use params::{AlignParams, Aligner, Candidate, CouplingParams, RefinementParams, UnpairedParams};
pub use preparation::{Preparation, PreparedMap};
pub use principal_axes::PrincipalAxes;
pub use probability::pair_probability;
pub use report::{
    Agreement, AlignmentReport, CombinedReport, LeftOut, RoundReport, SearchReport, SelectionReport, StartReport,
    UnpairedReport, Verdict,
};
pub use softening::{SoftPartners, Softening, soft_partners};
pub(crate) use unpaired::k_means;
