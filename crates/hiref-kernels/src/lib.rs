//! CUDA kernels of `hiref-core`, typed launches for them, and an emulator that runs the same sources without a GPU.
//!
//! A [`Queue`] is where memory lives and kernels run, in order: a CUDA stream (feature `cuda`), or the host emulator (feature `emulation`,
//! for tests), which compiles the very `.cu` files with the host's C++ compiler. What is written against a queue runs on both.
//!
//! Without either feature the crate compiles and no queue can be made. Products of [`bytes`] run on the host in any case.

mod assignment;
pub mod bytes;
mod costs;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "emulation")]
mod emulation;
mod error;
mod gather;
mod pricing;
mod projection;
mod queue;

pub use assignment::{Auction, auction, find_shadows};
pub use costs::{BlockCosts, Cost, block_products, column_terms, finish_costs, pair_costs};
#[cfg(feature = "emulation")]
pub use emulation::Schedule;
pub use error::Error;
pub use gather::{Blocks, DeviceRows, block_means, gather_centred, gather_rows, inverse_norms, prepare_rows};
pub use pricing::{ExactSearch, PartScan, Scan, exact_least, scan_parts, scan_tile, slack_of_bits, split_digits};
pub use projection::{MAX_RANK, Projection, mirror_step};
pub use queue::{Buffer, Element, Precision, Product, Queue, View};

/// An index that stands for "none".
pub const NONE: u32 = u32::MAX;
