//! Schedules that are fixed before a solve.

mod rank;

pub use rank::rank_schedule;
