//! Numbers packed for a page: one header of JSON, then arrays, compressed, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Arrays begin at multiples of it, so that typed arrays may look at them where they lie.
const ALIGNMENT: usize = 8;

/// A header and arrays, one after the other.
#[derive(Debug, Default)]
pub(super) struct Pack {
    facts: Map<String, Value>,
    arrays: Map<String, Value>,
    bytes: Vec<u8>,
}

impl Pack {
    /// Adds a fact to the header.
    pub(super) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Adds an array of 32-bit whole numbers.
    pub(super) fn whole(&mut self, name: &str, values: &[u32]) {
        self.array(name, "u32", values.iter().flat_map(|value| value.to_le_bytes()));
    }

    /// Adds an array of single precision.
    pub(super) fn floats(&mut self, name: &str, values: impl IntoIterator<Item = f32>) {
        self.array(name, "f32", values.into_iter().flat_map(f32::to_le_bytes));
    }

    /// Adds an array of places on a grid of 65,536 steps from `least` to `most`.
    pub(super) fn places(&mut self, name: &str, values: &[f32], least: f32, most: f32) {
        let step = (most - least).max(f32::MIN_POSITIVE) / 65_535.0;
        let place = |&value: &f32| (((value - least) / step).round().clamp(0.0, 65_535.0) as u16).to_le_bytes();
        self.array(name, "u16", values.iter().flat_map(place));
    }

    /// Adds rows of bytes, `(rows, width)`: `value / scale` of each column, rounded.
    pub(super) fn bytes(&mut self, name: &str, values: &[f32], scales: &[f32]) {
        let byte = |(at, value): (usize, &f32)| {
            let scale = scales[at % scales.len()].max(f32::MIN_POSITIVE);
            (value / scale).round().clamp(-127.0, 127.0) as i8 as u8
        };
        self.array(name, "i8", values.iter().enumerate().map(byte));
    }

    /// Adds texts, as JSON.
    pub(super) fn texts(&mut self, name: &str, texts: &[Option<String>]) {
        self.array(name, "json", Value::from(texts.to_vec()).to_string().into_bytes());
    }

    /// Adds anything as JSON.
    pub(super) fn json(&mut self, name: &str, value: &Value) {
        self.array(name, "json", value.to_string().into_bytes());
    }

    fn array(&mut self, name: &str, kind: &str, bytes: impl IntoIterator<Item = u8>) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        let start = self.bytes.len();
        self.bytes.extend(bytes);
        self.arrays.insert(name.to_owned(), json!([kind, start, self.bytes.len() - start]));
    }

    /// The text that a page carries.
    pub(super) fn finish(mut self) -> String {
        self.facts.insert("arrays".to_owned(), Value::Object(self.arrays));
        let header = Value::Object(self.facts).to_string().into_bytes();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        let length = (header.len() as u64).to_le_bytes();
        let padding =
            vec![0u8; (length.len() + header.len()).next_multiple_of(ALIGNMENT) - length.len() - header.len()];
        for part in [&length[..], &header, &padding, &self.bytes] {
            encoder.write_all(part).expect("memory takes what is written");
        }
        base64(&encoder.finish().expect("memory takes what is written"))
    }
}

/// Bytes as text that HTML leaves as it is.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
