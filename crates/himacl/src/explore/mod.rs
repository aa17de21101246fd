//! A pairing, looked at: where its items lie, what else they might have been paired with, and why they were not.
//!
//! Everything here reads a [`Paired`]: two sides in one space, who is paired with whom, and prices of all items. What a
//! person may ask of one pair is in [`Explanation`]; the rest is for looking at all pairs together.

mod counterfactual;
mod directions;
mod explanation;
mod paired;
mod path;
mod rivals;
#[cfg(test)]
mod tests;
mod tree;
mod words;

pub use counterfactual::{Removal, neighbourhood, removals};
pub use directions::{Direction, Directions};
pub use explanation::{Carrier, Explainer, Explanation, Item, Single};
pub use paired::{PairSide, Paired};
pub use path::{PathStep, path};
pub use rivals::{Rival, Rivals, margin, margins, rivals};
pub use tree::{Tree, TreeNode};
pub use words::{Vocabulary, Word};
