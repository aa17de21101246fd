//! JSON as people write it: an object a line, several to a line, one over many lines, an array of them.

use super::budget::RECORD_BYTES;
use super::location::Location;
use super::sample::Record;
use super::source::{self, Source};
use crate::error::Error;
use serde_json::Value;
use std::path::PathBuf;

/// Parses JSON, a byte order mark before it and Python's `NaN` and `Infinity` in it allowed.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).or_else(|error| {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
        serde_json::from_str(&with_null(text)).map_err(|_| format!("not JSON: {error}"))
    })
}

/// `null` in place of numbers that JSON does not have.
fn with_null(text: &str) -> String {
    let (mut out, mut in_text, mut escaped, mut rest) = (String::with_capacity(text.len()), false, false, text);
    while let Some(character) = rest.chars().next() {
        if !in_text
            && let Some(number) = ["NaN", "Infinity", "-Infinity"].into_iter().find(|name| rest.starts_with(name))
        {
            out.push_str("null");
            rest = &rest[number.len()..];
            continue;
        }
        match character {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && character == '\\' && !escaped;
        out.push(character);
        rest = &rest[character.len_utf8()..];
    }
    out
}

/// A field of an object by its name; where none has it, by its name in other letters' case, or with space around it.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    let other = || fields.iter().find(|(key, _)| is_called(key, name)).map(|(_, value)| value);
    fields.get(name).or_else(other)
}

/// Whether a name is the one sought, letters' case and space around it aside.
pub(super) fn is_called(found: &str, name: &str) -> bool {
    found.trim().eq_ignore_ascii_case(name)
}

/// Finds the objects of a file one after the other. A broken one ends where a new one can only begin.
pub(super) struct Objects {
    path: PathBuf,
    source: Source,
    line: u64,
}

impl Objects {
    pub(super) fn open(path: &Location) -> Result<Self, Error> {
        Ok(Self { path: path.to_path_buf(), source: source::open(path)?, line: 1 })
    }

    /// What stands for the rest of a file that ended before its time.
    pub(super) fn rest(&self) -> Option<Record> {
        Some(Record::rest(&self.path, self.source.failure()?))
    }

    /// The next object, or why there is none in its place.
    pub(super) fn next_object(&mut self) -> Result<Option<Result<Value, String>>, Error> {
        loop {
            match self.peek()? {
                None => return Ok(None),
                Some(b'{') => {
                    let line = self.line;
                    let text = self.object()?;
                    if text.is_err() && self.source.is_cut() {
                        return Ok(None);
                    }
                    let parsed = text.and_then(|text| parse(&text));
                    return Ok(Some(parsed.map_err(|reason| format!("line {line}: {reason}"))));
                }
                // Between objects, and what an array is made of.
                Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0x1e) => self.advance(),
                Some(_) => {
                    let line = self.line;
                    self.pass_line()?;
                    return Ok(Some(Err(format!("line {line}: expected a JSON object"))));
                }
            }
        }
    }

    /// The text of the object that begins here.
    fn object(&mut self) -> Result<Result<Vec<u8>, String>, Error> {
        let (mut text, mut open, mut last) = (Vec::new(), Vec::new(), b':');
        let (mut in_text, mut escaped) = (false, false);
        while let Some(byte) = self.peek()? {
            if text.len() as u64 == RECORD_BYTES {
                self.pass_line()?;
                return Ok(Err(format!("an object of more than {} MiB", RECORD_BYTES >> 20)));
            }
            if in_text {
                if byte == b'\n' {
                    return Ok(Err("a text does not end".to_owned()));
                }
                in_text = byte != b'"' || escaped;
                escaped = byte == b'\\' && !escaped;
            } else {
                match byte {
                    b'"' => in_text = true,
                    b'{' if last != b':' && !(open.last() == Some(&b'[') && matches!(last, b'[' | b',')) => {
                        return Ok(Err("an object does not end".to_owned()));
                    }
                    b'{' | b'[' => open.push(byte),
                    b'}' | b']' if open.pop() != Some(if byte == b'}' { b'{' } else { b'[' }) => {
                        self.pass_line()?;
                        return Ok(Err(format!("`{}` closes nothing", char::from(byte))));
                    }
                    _ => {}
                }
                if !byte.is_ascii_whitespace() {
                    last = byte;
                }
            }
            text.push(byte);
            self.advance();
            if open.is_empty() {
                return Ok(Ok(text));
            }
        }
        Ok(Err("the file ends within an object".to_owned()))
    }

    fn peek(&mut self) -> Result<Option<u8>, Error> {
        Ok(self.source.fill_buf().map_err(Error::io("read", &self.path))?.first().copied())
    }

    /// Passes over the byte that was peeked at.
    fn advance(&mut self) {
        if let Ok(&[byte, ..]) = self.source.fill_buf() {
            self.line += u64::from(byte == b'\n');
            self.source.consume(1);
        }
    }

    fn pass_line(&mut self) -> Result<(), Error> {
        while let Some(byte) = self.peek()? {
            self.advance();
            if byte == b'\n' {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> Vec<Result<String, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut objects = Objects::open(&Location::from(&path)).unwrap();
        std::iter::from_fn(|| objects.next_object().unwrap())
            .map(|object| object.map(|object| object.to_string()))
            .collect()
    }

    #[test]
    fn objects_of_every_layout() {
        let two = [Ok(r#"{"a":"}{\"","b":[{"c":1},{}]}"#.to_owned()), Ok(r#"{"a":null}"#.to_owned())];
        let [x, y] = [r#"{"a": "}{\"", "b": [{"c": 1}, {}]}"#, r#"{"a": NaN}"#];
        let pretty = "{\n\"a\": \"}{\\\"\",\n\"b\": [\n{\n\"c\": 1},\n{}\n]\n}";
        for text in [
            format!("{x}\n{y}\n\n\n"),
            format!("\u{feff}{x}\r\n{y}"),
            format!("{x}{y}"),
            format!("[{x},\n {y}]\n"),
            format!("{pretty}\n{y}"),
        ] {
            assert_eq!(objects(&text), two, "{text}");
        }
    }

    #[test]
    fn a_broken_object_costs_itself_alone() {
        let good = Ok(r#"{"a":2}"#.to_owned());
        for broken in [
            "not json",
            r#"{"a": 1"#,
            r#"{"a": 1,"#,
            r#"{"a": "x"#,
            r#"{"a": {"b": 1"#,
            r#"{"a": 1]"#,
            r#"{"a": [1, 2"#,
        ] {
            let found = objects(&format!("{{\"a\": 2}}\n{broken}\n{{\"a\": 2}}\n{{\"a\": 2}}"));
            assert_eq!(found.len(), 4, "{broken}: {found:?}");
            assert!(found[1].as_ref().is_err_and(|reason| reason.starts_with("line 2: ")), "{broken}: {found:?}");
            assert_eq!([&found[0], &found[2], &found[3]], [&good; 3], "{broken}");
        }
        assert!(objects(r#"{"a": {"#)[0].as_ref().unwrap_err().contains("ends within"));
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(objects(&deep)[0].is_err());
        let long = format!("{{\"a\": \"{}\"}}\n{{\"a\": 2}}", "x".repeat(RECORD_BYTES as usize));
        let found = objects(&long);
        assert!(found[0].as_ref().unwrap_err().contains("16 MiB") && found[1] == good, "{}", found.len());
    }

    #[test]
    fn numbers_of_python_are_null_outside_of_texts() {
        let parsed = parse(br#"{"NaN": "NaN \" Infinity", "x": [NaN, -Infinity, Infinity], "y": 1}"#).unwrap();
        assert_eq!(parsed.to_string(), r#"{"NaN":"NaN \" Infinity","x":[null,null,null],"y":1}"#);
        assert!(parse(b"{NoN}").is_err());
    }
}
