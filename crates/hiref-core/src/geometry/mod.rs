//! Supports, and the inner-product form of each cost on which the hierarchy splits.

mod inner_product;
mod point_cloud;

pub(crate) use inner_product::InnerProductGeometry;
pub use point_cloud::{HostRows, PointCloud};
