//! Pair two huge sets of embeddings one to one, and learn the map between them.
//!
//! Layers, lowest first; a module uses only lower ones:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`], [`files`], [`interrupt`] | the crate's error, atomic files and output folders, Ctrl-C |
//! | `fused` | layers, losses and optimiser steps in single passes over memory, with gradients |
//! | [`hub`] | encoders' files from the Hugging Face Hub, through its cache |
//! | [`data`] | embeddings on disk: npy, safetensors, clip-retrieval folders; readers of pictures and captions |
//! | [`encoder`] | pretrained encoders: registry, preprocessing, model families |
//! | [`embed`] | encoders over a dataset, to a clip-retrieval folder |
//! | [`map`] | maps T between the two spaces: linear (closed form), residual MLP |
//! | [`eval`] | retrieval and pairing metrics |
//! | [`align`] | initial alignment: shared space, a few known pairs, or none |
//! | [`objective`], [`train`] | losses, optimiser, schedule, EMA, checkpoints, the loop |
//! | [`report`] | summary.json; runs as HTML |
//! | [`cli`] | the command line |

pub mod align;
pub mod cli;
pub mod data;
mod edit_distance;
pub mod embed;
pub mod encoder;
pub mod error;
pub mod eval;
pub mod files;
mod fused;
pub mod hub;
pub mod interrupt;
pub mod map;
pub mod objective;
pub mod report;
pub mod train;

pub use error::Error;
