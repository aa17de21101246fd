//! A pairing opened to be looked at, and the page that shows it.

mod atlas;
mod columns;
mod explained;
mod items;
mod layout;
mod opened;
mod pack;
mod scene;

pub(crate) use columns::ColourArgs;
pub(crate) use explained::in_words;
pub(crate) use items::{Items, ItemsArgs, MetadataArgs};
pub(crate) use opened::{Opened, PairingArgs, Which, column_tables};
pub(crate) use scene::{Scene, SceneSettings};
