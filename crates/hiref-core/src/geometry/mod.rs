//! Both supports together, and the inner-product form of each cost on which the hierarchy splits.

mod feature_tensors;
mod inner_product;
mod kd_order;
mod supports;

pub(crate) use feature_tensors::{CentredBlocks, FeatureTensors};
pub(crate) use inner_product::{Features, InnerProductGeometry};
pub(crate) use kd_order::{equal_offsets, kd_order};
pub(crate) use supports::Supports;
