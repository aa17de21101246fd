//! Known pairs of rows: .npy of integers, or two whole numbers a line.

use super::npy::read_npy_pairs;
use crate::error::Error;
use std::fs;
use std::path::Path;

/// Bytes that a table of pairs may have.
const MOST_BYTES: u64 = 1 << 32;

/// Reads pairs of row numbers: a .npy file of integers of any width, `(k, 2)`, or a text file (.csv, .tsv, .txt) of two whole
/// numbers a line, separated by a comma, a semicolon, a tab or spaces. A first line of names says which is which where they begin with x and y, or source and
/// target; else the first number is that of x. Empty lines are passed over.
///
/// # Errors
/// [`Error::Npy`] for another array, [`Error::Pairs`] naming the line for another text, [`Error::Io`].
pub fn read_pairs(path: &Path) -> Result<Vec<(i64, i64)>, Error> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    if !matches!(extension.as_str(), "csv" | "tsv" | "txt") {
        return read_npy_pairs(path);
    }
    let size = fs::metadata(path).map_err(Error::io("read", path))?.len();
    let refuse = |line: usize, text: &str| {
        let text = text.chars().take(80).collect();
        Error::Pairs { path: path.to_path_buf(), line, text }
    };
    if size > MOST_BYTES {
        return Err(refuse(1, &format!("{size} bytes in all")));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut pairs, mut turned) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let separators = [',', ';', '\t', ' '];
        let fields: Vec<&str> = line.split(separators).map(|field| field.trim().trim_matches('"')).collect();
        let fields: Vec<&str> = fields.into_iter().filter(|field| !field.is_empty()).collect();
        let numbers: Option<Vec<i64>> = fields.iter().map(|field| field.parse().ok()).collect();
        match (fields.len(), numbers.as_deref()) {
            (0, _) => {}
            (2, Some(&[first, second])) => pairs.push((first, second)),
            // Names of columns, and no numbers.
            (2, None) if index == 0 && fields.iter().all(|field| field.parse::<f64>().is_err()) => {
                turned = is_of_y(fields[0]) && is_of_x(fields[1]);
            }
            _ => return Err(refuse(index + 1, line)),
        }
    }
    if turned {
        pairs.iter_mut().for_each(|pair| *pair = (pair.1, pair.0));
    }
    Ok(pairs)
}

/// Whether a column's name is one for rows of x.
fn is_of_x(name: &str) -> bool {
    begins_with(name, "x") || begins_with(name, "source")
}

/// Whether a column's name is one for rows of y.
fn is_of_y(name: &str) -> bool {
    begins_with(name, "y") || begins_with(name, "target")
}

/// Whether a name is a word, or that word with others behind it.
fn begins_with(name: &str, word: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            read_pairs(&path)
        };
        let expected = [(3, 0), (1, 7)];
        for (name, text) in [
            ("a.csv", "3,0\n1,7\n"),
            ("b.csv", "\u{feff}source,target\r\n3, 0\r\n\r\n1,7"),
            ("c.tsv", "3\t0\n1\t7\n"),
            ("d.txt", "3 0\n1   7\n"),
            ("e.csv", "\"x\";\"y\"\n\"3\";\"0\"\n1;7\n"),
            ("g.csv", "y_index,x_index\n0,3\n7,1\n"),
            ("h.csv", "Target,Source\n0,3\n7,1\n"),
            ("i.csv", "year,xylophone\n3,0\n1,7\n"),
        ] {
            assert_eq!(read(name, text).unwrap(), expected, "{name}");
        }
        for (text, line) in [("3,0\n1.5,2\n", 2), ("3,0,1\n", 1), ("a,b\nc,d\n", 2), ("0.5,1.5\n", 1), ("7\n", 1)] {
            match read("f.csv", text) {
                Err(Error::Pairs { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
