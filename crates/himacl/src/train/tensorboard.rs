//! `events.out.tfevents.*`: scalars in `TensorBoard`'s own file format.
//!
//! A file is a sequence of records (length, checksum of the length, data, checksum of the data), each holding an `Event`
//! protocol buffer; only the few fields that scalars need are written here.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version that `TensorBoard` expects in the first record.
const FILE_VERSION: &str = "brain.Event:2";

/// A file of scalars.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Starts a file, replacing an earlier one.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut events = Self { file: File::create(path)? };
        let mut event = wall_time();
        put_bytes(&mut event, 3, FILE_VERSION.as_bytes());
        events.write_record(&event)?;
        Ok(events)
    }

    /// Adds the scalars of one step.
    pub(crate) fn append<'a>(&mut self, step: u64, scalars: impl Iterator<Item = (&'a str, f64)>) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, tag.as_bytes());
            put_key(&mut entry, 2, FIXED_32);
            entry.extend((value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &entry);
        }
        let mut event = wall_time();
        put_key(&mut event, 2, VARINT);
        put_varint(&mut event, step);
        put_bytes(&mut event, 5, &summary);
        self.write_record(&event)
    }

    fn write_record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_checksum(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_checksum(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

// Wire types of protocol buffers.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED_32: u8 = 5;

/// The beginning of an event: its time, field 1.
fn wall_time() -> Vec<u8> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let mut event = Vec::new();
    put_key(&mut event, 1, FIXED_64);
    event.extend(seconds.to_le_bytes());
    event
}

fn put_key(buffer: &mut Vec<u8>, field: u8, wire_type: u8) {
    buffer.push(field << 3 | wire_type);
}

fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

fn put_bytes(buffer: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_key(buffer, field, LENGTH_DELIMITED);
    put_varint(buffer, bytes.len() as u64);
    buffer.extend(bytes);
}

/// CRC-32C, rotated and shifted by a constant as the format prescribes.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: the records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_scalar_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        EventFile::create(&path).unwrap().append(300, [("loss", 0.5)].into_iter()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let first = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(&bytes[12 + first - FILE_VERSION.len()..][..FILE_VERSION.len()], FILE_VERSION.as_bytes());
        let second = &bytes[first + 16..];
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        assert_eq!(second.len(), length + 16);
        let data = &second[12..12 + length];
        // After the time (9 bytes): step 300 as a varint, then summary { value { tag: "loss", simple_value: 0.5 } }.
        let expected =
            [&[0x10, 0xac, 0x02, 0x2a, 13, 0x0a, 11, 0x0a, 4][..], b"loss", &[0x15], &0.5f32.to_le_bytes()].concat();
        assert_eq!(data[9..], expected);
        assert_eq!(second[12 + length..], masked_checksum(data).to_le_bytes());
    }
}
