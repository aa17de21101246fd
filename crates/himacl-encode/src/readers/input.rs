//! Paths and patterns: `data/{00000..00099}.tar`, `part-*.parquet`.

use super::order::compare_paths;
use crate::error::ReadError;
use himacl_data::saved_files;
use std::collections::HashSet;
use std::path::PathBuf;

/// The files that a path or pattern names, in order: braces as written, wildcards by name with numbers by their value.
///
/// A path that exists is taken as it is, whatever characters it has; a folder that `datasets` has saved stands for its files.
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
/// [`ReadError::NoFiles`], [`ReadError::Pattern`], [`ReadError::Saved`].
pub fn expand_input(input: &str) -> Result<Vec<PathBuf>, ReadError> {
    let mut files = Vec::new();
    for path in named(input)? {
        let saved = if path.is_dir() { saved_files(&path).map_err(Box::new)? } else { None };
        files.extend(saved.unwrap_or_else(|| vec![path]));
    }
    Ok(files)
}

fn named(input: &str) -> Result<Vec<PathBuf>, ReadError> {
    if PathBuf::from(input).exists() {
        return Ok(vec![PathBuf::from(input)]);
    }
    if input.split_once("://").is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Err(ReadError::Remote(input.to_owned()));
    }
    let mut files = Vec::new();
    for pattern in expand_braces(input)? {
        let found = matches_of(&pattern)?;
        // Each alternative of a brace is a file that the user means to be there.
        if found.is_empty() {
            return Err(ReadError::NoFiles { input: pattern });
        }
        files.extend(found);
        if files.len() > MOST {
            return Err(too_many(input));
        }
    }
    Ok(files)
}

/// Files that a pattern may name.
const MOST: usize = 1 << 20;

fn too_many(pattern: &str) -> ReadError {
    ReadError::Pattern { pattern: pattern.to_owned(), reason: format!("it names more than {MOST} files") }
}

/// The files that match a pattern without braces; one that is found by several paths, through links, is one.
fn matches_of(pattern: &str) -> Result<Vec<PathBuf>, ReadError> {
    let wrong = |reason: String| ReadError::Pattern { pattern: pattern.to_owned(), reason };
    // Several in a row mean no more than one, and many make for as many ways to each file.
    let mut plain = pattern.to_owned();
    while plain.contains("**/**/") {
        plain = plain.replace("**/**/", "**/");
    }
    let plain = plain.replace("**/**", "**");
    if plain.matches("**").count() > 2 {
        return Err(wrong("more than two `**`".to_owned()));
    }
    let mut files = Vec::new();
    for path in glob::glob(&plain).map_err(|error| wrong(error.to_string()))? {
        files.push(path.map_err(|error| wrong(error.to_string()))?);
        if files.len() > MOST {
            return Err(too_many(pattern));
        }
    }
    files.sort_by(|a, b| compare_paths(a, b));
    if plain.contains("**") {
        let mut seen = HashSet::new();
        files.retain(|path| path.canonicalize().map_or(true, |real| seen.insert(real)));
    }
    Ok(files)
}

/// `a{1,2}b` -> `a1b`, `a2b`; `{08..10}` -> `08`, `09`, `10`, with the width of the first number.
pub(super) fn expand_braces(pattern: &str) -> Result<Vec<String>, ReadError> {
    expand(pattern, 0).ok_or_else(|| too_many(pattern))
}

/// Nothing if there would be too many, or braces within one another without end.
fn expand(pattern: &str, depth: usize) -> Option<Vec<String>> {
    const DEPTH: usize = 64;
    let Some(open) = pattern.find('{') else { return Some(vec![pattern.to_owned()]) };
    let Some(close) = closing(&pattern[open..]).map(|at| open + at) else { return Some(vec![pattern.to_owned()]) };
    if depth == DEPTH {
        return None;
    }
    let (before, inside, after) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    let alternatives = match range(inside) {
        Some((first, last, _)) if last - first >= MOST as u64 => return None,
        Some((first, last, width)) => (first..=last).map(|number| format!("{number:0width$}")).collect(),
        None => split_commas(inside),
    };
    let tails = expand(after, depth + 1)?;
    let mut all = Vec::new();
    for alternative in alternatives {
        for middle in expand(&alternative, depth + 1)? {
            if all.len() + tails.len() > MOST {
                return None;
            }
            all.extend(tails.iter().map(|tail| format!("{before}{middle}{tail}")));
        }
    }
    Some(all)
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

/// First and last number of a range, and the width that they are written in.
fn range(inside: &str) -> Option<(u64, u64, usize)> {
    let (first, last) = inside.split_once("..")?;
    let width = if first.starts_with('0') { first.len() } else { 0 };
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && width < 64).then_some((first, last, width))
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

    fn expand_braces(pattern: &str) -> Vec<String> {
        super::expand_braces(pattern).unwrap()
    }

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

    #[test]
    fn patterns_without_end_are_refused() {
        let many = "{a,b}".repeat(40);
        for pattern in ["{0..9999999999}", "{0..18446744073709551615}", &many, &"{".repeat(200).replace('{', "{a,")] {
            let result = expand_input(pattern);
            assert!(
                matches!(result, Err(ReadError::Pattern { .. } | ReadError::NoFiles { .. })),
                "{pattern}: {result:?}"
            );
        }
        assert!(expand_input(&"{a,".repeat(100_000)).is_err());
        assert!(matches!(expand_input("s3://bucket/{0..3}.tar"), Err(ReadError::Remote(_))));
        assert!(matches!(expand_input("**/a/**/b/**/c"), Err(ReadError::Pattern { .. })));
    }

    #[test]
    fn numbers_are_in_order_and_links_lead_nowhere_new() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        for name in ["part-10.tar", "part-2.tar", "part-1.tar"] {
            std::fs::write(below.join(name), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), below.join("again")).unwrap();
        for stars in [1, 50] {
            let pattern = format!("{}/{}*.tar", folder.path().display(), "**/".repeat(stars));
            let files = expand_input(&pattern).unwrap();
            let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!(names, ["part-1.tar", "part-2.tar", "part-10.tar"]);
        }
    }
}
