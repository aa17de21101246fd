//! The nearest of known keys, for error messages.

use strsim::levenshtein;

/// The known key that takes the fewest edits; a key in another section whose last part fits counts as close.
pub(super) fn nearest<'a>(key: &str, known: &'a [String]) -> &'a str {
    let distance = |candidate: &String| {
        let whole = levenshtein(key, candidate);
        let leaf = levenshtein(last_part(key), last_part(candidate)) + 1;
        (whole.min(leaf), whole)
    };
    known.iter().min_by_key(|candidate| distance(candidate)).map_or("", String::as_str)
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or_default()
}
