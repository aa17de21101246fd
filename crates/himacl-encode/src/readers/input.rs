//! Paths and patterns: `data/{00000..00099}.tar`, `part-*.parquet`.

use crate::error::ReadError;
use std::path::PathBuf;

/// The files that a path or pattern names, in order: braces as written, wildcards by name.
///
/// A path that exists is taken as it is, whatever characters it has.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// for name in ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let pattern = format!("{}/a-{{09..10}}.tar", folder.path().display());
/// let files = himacl_encode::readers::expand_input(&pattern)?;
/// assert!(files.iter().map(|file| file.file_name().unwrap()).eq(["a-09.tar", "a-10.tar"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReadError::NoFiles`], [`ReadError::Pattern`].
pub fn expand_input(input: &str) -> Result<Vec<PathBuf>, ReadError> {
    if PathBuf::from(input).exists() {
        return Ok(vec![PathBuf::from(input)]);
    }
    let mut files = Vec::new();
    for pattern in expand_braces(input) {
        let before = files.len();
        let wrong = |reason: String| ReadError::Pattern { pattern: pattern.clone(), reason };
        for path in glob::glob(&pattern).map_err(|error| wrong(error.to_string()))? {
            files.push(path.map_err(|error| wrong(error.to_string()))?);
        }
        // Each alternative of a brace is a file that the user means to be there.
        if files.len() == before {
            return Err(ReadError::NoFiles { input: pattern });
        }
    }
    Ok(files)
}

/// `a{1,2}b` -> `a1b`, `a2b`; `{08..10}` -> `08`, `09`, `10`, with the width of the first number.
fn expand_braces(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_owned()] };
    let Some(close) = closing(&pattern[open..]).map(|at| open + at) else { return vec![pattern.to_owned()] };
    let (before, inside, after) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    let alternatives = range(inside).unwrap_or_else(|| split_commas(inside));
    let tails = expand_braces(after);
    let mut all = Vec::new();
    for alternative in alternatives {
        for middle in expand_braces(&alternative) {
            all.extend(tails.iter().map(|tail| format!("{before}{middle}{tail}")));
        }
    }
    all
}

/// The position of the brace that closes the one at the start.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn range(inside: &str) -> Option<Vec<String>> {
    let (first, last) = inside.split_once("..")?;
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| (first..=last).map(|number| format!("{number:0width$}")).collect())
}

/// The parts between commas that are not inside further braces.
fn split_commas(inside: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_as_the_shell_has_them() {
        assert_eq!(expand_braces("plain.tar"), ["plain.tar"]);
        assert_eq!(expand_braces("{08..11}.tar"), ["08.tar", "09.tar", "10.tar", "11.tar"]);
        assert_eq!(expand_braces("{8..11}"), ["8", "9", "10", "11"]);
        assert_eq!(expand_braces("{a,b{1,2}}/{x,y}"), ["a/x", "a/y", "b1/x", "b1/y", "b2/x", "b2/y"]);
        assert_eq!(expand_braces("open{brace"), ["open{brace"]);
    }

    #[test]
    fn every_alternative_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for name in ["0.tar", "1.tar", "odd{name}.tar"] {
            std::fs::write(path(name), "").unwrap();
        }
        assert_eq!(expand_input(&path("{0..1}.tar")).unwrap().len(), 2);
        assert!(
            matches!(expand_input(&path("{0..2}.tar")), Err(ReadError::NoFiles { input }) if input == path("2.tar"))
        );
        assert_eq!(expand_input(&path("*.tar")).unwrap().len(), 3);
        assert_eq!(expand_input(&path("odd{name}.tar")).unwrap().len(), 1);
        assert!(matches!(expand_input(&path("a[.tar")), Err(ReadError::Pattern { .. })));
    }
}
