//! Metrics of a map or a pairing on items whose true partners are known.
//!
//! Everything is read off tiles of the score matrix: memory never grows with n · m.

mod classification;
mod metrics;
mod monge;
mod pairing;
mod retrieval;
mod scores;

pub use classification::{ZeroShotAccuracy, zero_shot};
pub use metrics::{Better, Metric, Metrics};
pub use monge::{MongeFigures, cycle_error, monge_figures, monge_gap, sinkhorn_divergence};
pub use pairing::{PairingAccuracy, pairing_accuracy, partner_cosine};
pub(crate) use retrieval::ranks;
pub use retrieval::{Recall, RetrievalMetrics, RetrievalParams, retrieval, retrieval_until};
pub(crate) use scores::{Best, Scores, with_host_values};
