//! Supports, and the inner-product form of each cost on which the hierarchy splits.

mod inner_product;
mod point_cloud;
mod tiled_cost;

pub(crate) use inner_product::InnerProductGeometry;
pub use point_cloud::{HostRows, PointCloud};
pub(crate) use tiled_cost::{TILE_ROWS, TiledCost, multiply};
