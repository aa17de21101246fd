//! Search across a run's two sides: queries as texts, pictures or embeddings, answers among its items.

mod encoders;
mod opened;

pub(crate) use encoders::Query;
pub(crate) use opened::{Answer, Finder, FinderArgs};
