//! `metrics.jsonl`: one JSON object a line, appended while a run goes on, and the same numbers for `TensorBoard`.

use super::tensorboard::EventFile;
use crate::error::Error;
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The `TensorBoard` file beside the log.
const EVENTS: &str = "events.out.tfevents.0.himacl";

/// The log of one run.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    events: EventFile,
}

impl MetricsLog {
    /// Opens the log and cuts it back to its first `bytes` bytes, to the end of a whole line: what was logged after the
    /// checkpoint that a run resumes from is about to be logged again. The `TensorBoard` file is written anew from what is
    /// left.
    ///
    /// # Errors
    /// A file that cannot be opened or cut.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        Self::open_and_cut(path, bytes).map_err(Error::io("open", path))
    }

    fn open_and_cut(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut events = EventFile::create(&path.with_file_name(EVENTS))?;
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while whole < bytes {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)? as u64;
            if length == 0 || line.last() != Some(&b'\n') || whole + length > bytes {
                break;
            }
            whole += length;
            if let Ok(record) = serde_json::from_slice(&line) {
                append_scalars(&mut events, &record)?;
            }
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_path_buf(), file, bytes: whole, events })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// A write that fails.
    pub fn append(&mut self, record: Map<String, Value>) -> Result<(), Error> {
        append_scalars(&mut self.events, &record).map_err(Error::io("write", &self.path))?;
        let mut line = Value::Object(record).to_string();
        line.push('\n');
        // One write a line, so that a reader never sees half of one.
        self.file.write_all(line.as_bytes()).map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Length so far, after everything has reached the disk.
    ///
    /// # Errors
    /// A disk that fails.
    pub fn sync(&mut self) -> Result<u64, Error> {
        self.file.sync_data().map_err(Error::io("write", &self.path))?;
        Ok(self.bytes)
    }
}

/// Adds the numbers of a record, those of inner objects too, at the record's step.
fn append_scalars(events: &mut EventFile, record: &Map<String, Value>) -> io::Result<()> {
    let step = record.get("step").and_then(Value::as_u64).unwrap_or_default();
    let inner = record.values().filter_map(Value::as_object).flatten();
    let numbers = record.iter().chain(inner).filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
    events.append(step, numbers.filter(|(name, _)| *name != "step"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn record(step: u64) -> Map<String, Value> {
        Map::from_iter([("step".to_owned(), Value::from(step))])
    }

    #[test]
    fn a_resumed_log_has_each_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        log.append(record(1)).unwrap();
        let bytes = log.sync().unwrap();
        log.append(record(2)).unwrap();
        drop(log);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\": 3, \"lo").unwrap();
        let mut log = MetricsLog::open(&path, bytes).unwrap();
        log.append(record(2)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        // A file shorter than the checkpoint remembers loses only its torn line.
        fs::write(&path, "{\"step\":1}\n{\"st").unwrap();
        drop(MetricsLog::open(&path, 1000).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n");
    }
}
