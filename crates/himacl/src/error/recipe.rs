//! Why a recipe was refused.

use std::io;
use std::path::PathBuf;

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read recipe `{}`: {source}", path.display())]
    Read {
        /// The recipe.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("recipe `{}` is not valid TOML: {source}", path.display())]
    Syntax {
        /// The recipe.
        path: PathBuf,
        /// The parser's answer, with line and column.
        source: toml::de::Error,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {place}\nhint: did you mean `{nearest}`?")]
    UnknownKey {
        /// The key, dotted.
        key: String,
        /// Where it stands.
        place: String,
        /// The existing key that looks most like it.
        nearest: String,
    },
    /// A value of the wrong type.
    #[error("{place}: {problem}")]
    Type {
        /// Where it stands.
        place: String,
        /// Key, value and what was expected.
        problem: String,
    },
    /// A value outside its range.
    #[error("`{key}` is {value}, expected {expected} ({place})")]
    Range {
        /// The key, dotted.
        key: &'static str,
        /// The value found.
        value: String,
        /// What is allowed.
        expected: &'static str,
        /// Where it stands.
        place: String,
    },
    /// Pairs are to be drawn of sides whose rows are not known to correspond, or a file of pairs stands beside drawn ones.
    #[error("`{key}` is {value} with data.hide_pairs = {hide_pairs}: {why} ({place})\nhint: {hint}")]
    KnownPairs {
        /// The key, dotted.
        key: &'static str,
        /// The value found.
        value: String,
        /// Whether row i of the source belongs to row i of the target.
        hide_pairs: bool,
        /// Why it cannot be.
        why: &'static str,
        /// What can.
        hint: &'static str,
        /// Where it stands.
        place: String,
    },
    /// A variant whose runs cannot have a folder of that name.
    #[error(
        "recipe `{}` has a variant named `{name}`, expected letters, digits and any of -_.+=, (not first a dot or a \
         space, not the name of a file), and not `main`, which is the recipe itself\n\
         hint: the name becomes that of a folder in output.dir", path.display()
    )]
    VariantName {
        /// The name.
        name: String,
        /// The recipe.
        path: PathBuf,
    },
    /// A change without a key and a value.
    #[error("change `{argument}` is not of the form key=value\nhint: for example train.epochs=3")]
    Override {
        /// The argument.
        argument: String,
    },
}
