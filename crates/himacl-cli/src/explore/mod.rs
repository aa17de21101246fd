//! A pairing opened to be looked at, and the page that shows it.

mod atlas;
mod explained;
mod items;
mod opened;
mod pack;
mod scene;

pub(crate) use explained::in_words;
pub(crate) use items::{Items, ItemsArgs};
pub(crate) use opened::{Opened, PairingArgs};
pub(crate) use scene::{Scene, SceneSettings};
