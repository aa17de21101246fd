//! The records of csv and tsv.

use super::budget::RECORD_BYTES;
use super::lines::{Line, Lines};
use super::location::Location;
use super::sample::Record;
use crate::error::Error;
use crate::error::ReadError;
use std::path::PathBuf;

/// So many lines and bytes may a quoted field of a tsv go on for before its quote is taken as text.
const QUOTED_LINES: usize = 200;
const QUOTED_BYTES: usize = 1 << 16;

/// Reads records: their fields, or why one cannot be used.
pub(super) struct TableRows {
    path: PathBuf,
    lines: Lines,
    delimiter: char,
    /// Fields of the header, once that is known.
    pub(super) width: usize,
}

impl TableRows {
    /// A header with a tab makes a tsv, whatever the file is called; one with semicolons alone is what spreadsheets write
    /// where the comma is part of numbers.
    pub(super) fn open(path: &Location) -> Result<Self, Error> {
        let mut lines = Lines::open(path)?;
        let mut delimiter = ',';
        if let Some(header) = lines.next_line(RECORD_BYTES)? {
            let has = |sought: char| header.as_ref().is_ok_and(|header| header.contains(sought));
            if has('\t') {
                delimiter = '\t';
            } else if has(';') && !has(',') {
                delimiter = ';';
            }
            lines.give_back(std::iter::once(header));
        }
        Ok(Self { path: path.to_path_buf(), lines, delimiter, width: 0 })
    }

    /// What stands for the rest of a file that ended before its time.
    pub(super) fn rest(&self) -> Option<Record> {
        self.lines.rest()
    }

    /// What ended the file before its time.
    pub(super) fn failure(&self) -> Option<&str> {
        self.lines.failure()
    }

    /// The fields of the next record; blank lines are none.
    pub(super) fn next_row(&mut self) -> Result<Option<Result<Vec<String>, String>>, Error> {
        loop {
            return match self.lines.next_line(RECORD_BYTES)? {
                None => Ok(None),
                Some(Err(reason)) => Ok(Some(Err(reason))),
                Some(Ok(line)) if line.is_empty() => continue,
                Some(Ok(line)) if self.delimiter == '\t' => self.tsv_row(&line).map(Some),
                Some(Ok(line)) => self.csv_row(&line).map(Some),
            };
        }
    }

    /// A quoted field goes on to its closing quote, over lines if need be.
    fn csv_row(&mut self, line: &str) -> Result<Result<Vec<String>, String>, Error> {
        let (begin, mut fields) = (self.lines.number, Vec::new());
        let mut open = self.csv_fields(line, &mut fields, None);
        while let Some(mut field) = open {
            match self.lines.next_line(RECORD_BYTES)? {
                Some(Ok(line)) if (field.len() + line.len()) as u64 <= RECORD_BYTES => {
                    field.push('\n');
                    open = self.csv_fields(&line, &mut fields, Some(field));
                }
                Some(Err(reason)) => return Ok(Err(reason)),
                None if self.lines.are_cut() => return Ok(Err(open_field(begin))),
                _ => return Err(self.open_quote(begin)),
            }
        }
        Ok(Ok(fields))
    }

    /// Appends the fields of a line, which begins within the quoted field `open` if there is one; returns the quoted field
    /// that its end leaves open. What follows a closing quote is part of the field, as most readers have it.
    fn csv_fields(&self, line: &str, fields: &mut Vec<String>, mut open: Option<String>) -> Option<String> {
        let mut rest = line;
        loop {
            if open.is_none()
                && let Some(inside) = rest.strip_prefix('"')
            {
                (open, rest) = (Some(String::new()), inside);
            }
            let mut field = open.take().map(|field| (field, false));
            while let Some((text, closed)) = &mut field
                && !*closed
            {
                let Some(at) = rest.find('"') else {
                    text.push_str(rest);
                    return field.map(|(text, _)| text);
                };
                text.push_str(&rest[..at]);
                rest = &rest[at + 1..];
                if let Some(after) = rest.strip_prefix('"') {
                    text.push('"');
                    rest = after;
                } else {
                    *closed = true;
                }
            }
            let (mut text, _) = field.unwrap_or_default();
            let end = rest.find(self.delimiter).unwrap_or(rest.len());
            text.push_str(&rest[..end]);
            fields.push(text);
            rest = rest[end..].strip_prefix(self.delimiter)?;
        }
    }

    /// Many a tsv is written without regard for quotes: one that is not answered before the next tab is text.
    fn tsv_row(&mut self, first: &str) -> Result<Result<Vec<String>, String>, Error> {
        match tsv_fields(first, false) {
            // Quotes that make other fields than the header has are text.
            Tsv::Row(row) if self.width > 0 && row.len() != self.width => {
                let plain: Vec<String> = first.split('\t').map(str::to_owned).collect();
                return Ok(Ok(if plain.len() == self.width { plain } else { row }));
            }
            Tsv::Row(row) => return Ok(Ok(row)),
            Tsv::Open | Tsv::Apart => {}
        }
        let (begin, mut text, mut taken) = (self.lines.number, first.to_owned(), Vec::<Line>::new());
        while taken.len() < QUOTED_LINES && text.len() < QUOTED_BYTES {
            let Some(line) = self.lines.next_line(RECORD_BYTES)? else {
                if self.width > 1 && !taken.is_empty() {
                    if !self.lines.are_cut() {
                        return Err(self.open_quote(begin));
                    }
                    self.lines.give_back(taken.into_iter());
                    return Ok(Err(open_field(begin)));
                }
                break;
            };
            let more = line.clone();
            taken.push(line);
            let Ok(more) = more else { break };
            text.push('\n');
            text.push_str(&more);
            match tsv_fields(&text, false) {
                Tsv::Row(row) => return Ok(Ok(row)),
                Tsv::Open => {}
                Tsv::Apart => break,
            }
        }
        self.lines.give_back(taken.into_iter());
        Ok(match tsv_fields(first, true) {
            Tsv::Row(row) => Ok(row),
            Tsv::Open | Tsv::Apart => Err(open_field(begin)),
        })
    }

    fn open_quote(&self, line: u64) -> Error {
        ReadError::OpenQuote { path: self.path.clone(), line }.into()
    }
}

fn open_field(line: u64) -> String {
    format!("line {line}: a quoted field does not end")
}

/// What lines of a tsv are together.
enum Tsv {
    Row(Vec<String>),
    /// A quoted field does not end with them.
    Open,
    /// They are several records.
    Apart,
}

/// Splits text into fields; with `plain` a quote that is not answered is text.
fn tsv_fields(text: &str, plain: bool) -> Tsv {
    let (mut fields, mut rest) = (Vec::new(), text);
    loop {
        let quoted = rest.strip_prefix('"').map(quoted);
        let (field, after) = match quoted {
            Some(Quoted::Closed(field, after)) => (field, after),
            Some(Quoted::Open) if !plain => return Tsv::Open,
            _ => {
                let end = rest.find('\t').unwrap_or(rest.len());
                if rest[..end].contains('\n') {
                    return Tsv::Apart;
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix('\t') {
            Some(after) => rest = after,
            None => return Tsv::Row(fields),
        }
    }
}

enum Quoted<'a> {
    /// The field, and what follows it.
    Closed(String, &'a str),
    /// It does not end here.
    Open,
    /// The quote is text.
    Text,
}

/// A field of a tsv from behind its first quote on. A tab in one of several lines is the end of a field whose quote was
/// text.
fn quoted(inside: &str) -> Quoted<'_> {
    let (mut field, mut rest) = (String::new(), inside);
    while let Some(at) = rest.find('"') {
        field.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('"') {
            field.push('"');
            rest = after;
            continue;
        }
        let is_end = rest.is_empty() || rest.starts_with('\t');
        let is_one = !(field.contains('\n') && field.contains('\t'));
        return if is_end && is_one { Quoted::Closed(field, rest) } else { Quoted::Text };
    }
    if field.contains('\t') || rest.contains('\t') { Quoted::Text } else { Quoted::Open }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of a file, a header of `width` fields having been read.
    fn rows(text: &str, width: usize) -> Result<Vec<Vec<String>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let mut rows = TableRows::open(&Location::from(&path)).unwrap();
        rows.width = width;
        let mut found = Vec::new();
        loop {
            match rows.next_row().map_err(|error| error.to_string())? {
                None => return Ok(found),
                Some(row) => found.push(row?),
            }
        }
    }

    #[test]
    fn commas() {
        let text = "a,b\r\n\"x, \"\"y\"\"\nz\",2\n\n5\" disc,\"3\" inch\n,\n";
        let expected = [["a", "b"], ["x, \"y\"\nz", "2"], ["5\" disc", "3 inch"], ["", ""]];
        assert_eq!(rows(text, 2).unwrap(), expected);
        assert_eq!(rows("a;b\n\"x;y\";2", 2).unwrap(), [["a", "b"], ["x;y", "2"]]);
        assert_eq!(rows("a\"b,\"c\nd\",e\nf,g,h\n", 3).unwrap(), [["a\"b", "c\nd", "e"], ["f", "g", "h"]]);
        for open in ["a,b\n1,2\n3,\"4\n5,6\n", "a,b\n1,2\n3,\"4"] {
            assert!(rows(open, 2).unwrap_err().contains("line 3"), "{open}");
        }
    }

    #[test]
    fn tabs_and_stray_quotes() {
        let text = "a\tb\n1\t\"alone\n2\tx \"y\" z\n3\t\"last\n\"first\t4\n\"p\" q\t5\n\"whole \"\"w\"\"\"\t6\n";
        let expected = [
            ["a", "b"],
            ["1", "\"alone"],
            ["2", "x \"y\" z"],
            ["3", "\"last"],
            ["\"first", "4"],
            ["\"p\" q", "5"],
            ["whole \"w\"", "6"],
        ];
        assert_eq!(rows(text, 2).unwrap(), expected);
        // A quote that is never answered, and one that answers another field's.
        for (line, fields) in [
            ("\"hi\tx", ["\"hi", "x"]),
            ("1\t\"hi", ["1", "\"hi"]),
            ("\"hi\tx\"", ["\"hi", "x\""]),
            ("\"hi\t\"x", ["\"hi", "\"x"]),
        ] {
            assert_eq!(rows(&format!("a\tb\n{line}\n3\t4\n"), 2).unwrap(), [["a", "b"], fields, ["3", "4"]], "{line}");
            assert_eq!(rows(&format!("a\tb\n3\t4\n{line}"), 2).unwrap(), [["a", "b"], ["3", "4"], fields], "{line}");
        }
        assert_eq!(rows("a\tb\n1\t\"two\nlines\"\n2\t\"\n", 2).unwrap()[1..], [["1", "two\nlines"], ["2", "\""]]);
        assert_eq!(rows("a\tb\n1\t\"with a\ttab\"\t2\n", 3).unwrap()[1], ["1", "with a\ttab", "2"]);
        assert!(rows("a\tb\n1\t\"two\nlines\nand no end", 2).unwrap_err().contains("line 2"));
        // What is looked ahead at is not lost, broken lines included.
        let many = format!("a\tb\n1\t\"open\n{}", "x\n".repeat(2 * QUOTED_LINES));
        assert_eq!(rows(&many, 2).unwrap().len(), 2 + 2 * QUOTED_LINES);
    }

    #[test]
    fn long_fields_end() {
        let long = format!("a,b\n1,\"{}\n", "x\n".repeat(RECORD_BYTES as usize / 2));
        assert!(rows(&long, 2).unwrap_err().contains("line 2"));
        let line = format!("a,b\n{}\n1,2\n", "x".repeat(RECORD_BYTES as usize + 1));
        assert!(rows(&line, 2).unwrap_err().contains("at most"));
    }
}
