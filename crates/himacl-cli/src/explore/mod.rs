//! A pairing opened to be looked at, and the page that shows it.

mod items;
mod opened;
mod pack;
mod pictures;
mod scene;

pub(crate) use items::ItemsArgs;
pub(crate) use opened::{Opened, PairingArgs};
pub(crate) use scene::{Scene, SceneSettings};
