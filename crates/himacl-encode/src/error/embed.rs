//! Why a dataset cannot be embedded.

use std::path::PathBuf;

/// Why a dataset cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// Settings outside their range.
    #[error("{name} is {got}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        got: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Too many samples that cannot be used.
    #[error(
        "{skipped} of {records} samples cannot be used, {:.2}% where {:.2}% are allowed; the first: `{key}`: {reason}\n\
         hint: `{}` lists them; what is done is kept, and a higher limit goes on", percent(*skipped, *records),
        100.0 * allowed, list.display()
    )]
    TooManySkipped {
        /// Samples that cannot be used.
        skipped: u64,
        /// Samples seen.
        records: u64,
        /// The share allowed.
        allowed: f64,
        /// The first of them.
        key: String,
        /// Why.
        reason: String,
        /// The file that lists them all.
        list: PathBuf,
    },
    /// A dataset without samples.
    #[error("the dataset has no samples for modality {modality}")]
    NoSamples {
        /// What was sought.
        modality: String,
    },
    /// A model whose output has not the shape that was announced.
    #[error("the encoder gave {got} values for {rows} rows of {dimension} coordinates")]
    Shape {
        /// Values found.
        got: usize,
        /// Rows that went in.
        rows: usize,
        /// Coordinates expected.
        dimension: usize,
    },
    /// A program that does not do what an encoder does.
    #[error("the encoder program `{program}` {problem}{}{}", ended(status.as_deref()), said(last_words))]
    Program {
        /// Its command line.
        program: String,
        /// What it did, in words that follow its name.
        problem: String,
        /// How it ended, where it did so by itself.
        status: Option<String>,
        /// The last lines of its standard error.
        last_words: Vec<String>,
    },
    /// The user stopped the run while a program was waited for.
    #[error("the run was interrupted")]
    Interrupted,
}

fn ended(status: Option<&str>) -> String {
    status.map_or_else(String::new, |status| format!(" ({status})"))
}

fn said(last_words: &[String]) -> String {
    if last_words.is_empty() {
        return "; it wrote nothing to its standard error".to_owned();
    }
    last_words.iter().fold("; the end of its standard error:".to_owned(), |text, line| text + "\n  | " + line)
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
