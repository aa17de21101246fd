//! The nearest of known names, for error messages.

/// The known key that takes the fewest edits; a key in another section whose last part fits counts as close.
pub(crate) fn nearest<'a>(key: &str, known: &'a [String]) -> &'a str {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |candidate: &String| {
        let whole = edit_distance(key, candidate);
        let leaf = edit_distance(&last(key), &last(candidate)) + 1;
        (whole.min(leaf), whole)
    };
    known.iter().min_by_key(|candidate| distance(candidate)).map_or("", String::as_str)
}

/// Levenshtein distance: insertions, deletions and substitutions of characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distances() {
        for (a, b, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(a, b), expected);
        }
    }
}
