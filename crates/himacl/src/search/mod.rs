//! Items found by what they mean: the best of a gallery for each query, exactly or by an index whose recall is measured.

mod exact;
mod gallery;
mod index;

pub use exact::Hit;
pub use gallery::Gallery;
pub use index::{Index, IndexParams};
