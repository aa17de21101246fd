//! The points of one side: as they are handed in, as a checked cloud, and as rows in host memory.

mod cloud;
mod distinct;
mod input;
mod rows;

pub use cloud::{HostRows, PointCloud};
pub(crate) use distinct::Distinct;
pub use input::Points;
pub use rows::{Coordinate, Rows};
