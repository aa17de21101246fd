//! Headers of parquet pages, looked at while the library reads them: it makes room for what they claim, and counts through
//! lists of nothing. They are structures of Thrift's compact protocol (a field's number, as a distance from the one before,
//! and its type in a byte; seven bits of a number in each that follows, signs last), by the format's own definition of them
//! (apache/parquet-format, parquet.thrift): numbers, flags, bytes, structures, no lists.

/// Types of fields.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Structures within one another.
const DEPTH: usize = 16;
/// Bytes that a number takes.
const NUMBER_BYTES: u32 = 10;

/// The structures that the library knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Data,
    Index,
    Dictionary,
    SecondData,
    Statistics,
    Unknown,
}

impl Kind {
    /// The type of a field, and the structure that it is; nothing of one that no version of the format has.
    fn field(self, id: i16) -> Option<(u8, Self)> {
        let plain = |kind| Some((kind, Self::Unknown));
        let inside = |kind| Some((STRUCT, kind));
        match (self, id) {
            (Self::Page, 5) => inside(Self::Data),
            (Self::Page, 6) => inside(Self::Index),
            (Self::Page, 7) => inside(Self::Dictionary),
            (Self::Page, 8) => inside(Self::SecondData),
            (Self::Data, 5) | (Self::SecondData, 8) => inside(Self::Statistics),
            (Self::Page | Self::Data, 1..=4) | (Self::Dictionary, 1..=2) | (Self::SecondData, 1..=6) => plain(I32),
            (Self::Dictionary, 3) | (Self::SecondData, 7) | (Self::Statistics, 7..=8) => plain(TRUE),
            (Self::Statistics, 3..=4) => plain(I64),
            (Self::Statistics, 1..=2 | 5..=6) => plain(BINARY),
            _ => None,
        }
    }
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Field,
    /// The number of a field of this type.
    Id(u8),
    /// The content of the field.
    Number,
    /// How many bytes follow.
    Length,
    Bytes(u64),
}

/// A header, of which some bytes have been read.
#[derive(Debug)]
pub(super) struct PageHeader {
    /// Bytes that the page may claim.
    most: u64,
    /// Structures that have begun, each with its last field.
    open: Vec<(Kind, i16)>,
    next: Next,
    /// The number under way, and the bits of it.
    number: u64,
    bits: u32,
    /// What the page claims.
    size: i32,
}

impl PageHeader {
    pub(super) fn new(most: u64) -> Self {
        Self { most, open: vec![(Kind::Page, 0)], next: Next::Field, number: 0, bits: 0, size: 0 }
    }

    /// Looks at the next bytes; what follows the header is let be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let (Some((&byte, rest)), Some(&(kind, last))) = (bytes.split_first(), self.open.last()) {
            bytes = rest;
            match self.next {
                Next::Field if byte.is_multiple_of(16) => {
                    if kind == Kind::Page && last < 3 {
                        return Err(missing(last));
                    }
                    self.open.pop();
                }
                Next::Field => match i16::from(byte >> 4) {
                    0 => self.next = Next::Id(byte & 0xf),
                    distance => self.begin(byte & 0xf, last.saturating_add(distance))?,
                },
                Next::Bytes(count) => {
                    let taken = count.min(1 + bytes.len() as u64);
                    bytes = &bytes[taken as usize - 1..];
                    self.next = if taken == count { Next::Field } else { Next::Bytes(count - taken) };
                }
                Next::Id(_) | Next::Number | Next::Length => self.digits(byte)?,
            }
        }
        Ok(())
    }

    /// A field begins.
    fn begin(&mut self, got: u8, id: i16) -> Result<(), String> {
        let Some((kind, last)) = self.open.last_mut() else { return Ok(()) };
        let (kind, first) = (*kind, *last);
        *last = id;
        if kind == Kind::Page && first < 3 && (got, id) != (I32, first + 1) {
            return Err(missing(first));
        }
        let expected = kind.field(id);
        let fits = |expected: u8| got == expected || (expected, got) == (TRUE, FALSE);
        if let Some((expected, _)) = expected.filter(|(expected, _)| !fits(*expected)) {
            return Err(format!("field {id} of a page's header has type {got}, expected {expected}"));
        }
        self.next = match got {
            TRUE | FALSE => Next::Field,
            BYTE => Next::Bytes(1),
            I16 | I32 | I64 => Next::Number,
            DOUBLE => Next::Bytes(8),
            UUID => Next::Bytes(16),
            BINARY => Next::Length,
            STRUCT if self.open.len() < DEPTH => {
                self.open.push((expected.map_or(Kind::Unknown, |(_, inside)| inside), 0));
                Next::Field
            }
            _ => return Err(format!("field {id} of a page's header has type {got}, which no header has")),
        };
        Ok(())
    }

    /// The next bits of a number, the last ones perhaps.
    fn digits(&mut self, byte: u8) -> Result<(), String> {
        self.number |= u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or(0);
        self.bits += 7;
        if byte & 0x80 != 0 {
            let is_endless = self.bits >= 7 * NUMBER_BYTES;
            return if is_endless { Err("a number without an end".to_owned()) } else { Ok(()) };
        }
        let number = std::mem::take(&mut self.number);
        self.bits = 0;
        let signed = (number >> 1) as i64 ^ -((number & 1) as i64);
        match self.next {
            Next::Id(kind) => self.begin(kind, signed as i16)?,
            Next::Length if number > 0 => self.next = Next::Bytes(number),
            next => {
                self.next = Next::Field;
                // More than 32 bits are cut off, as the library does.
                if next == Next::Number {
                    self.check(signed as i32)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at the content of a field.
    fn check(&mut self, value: i32) -> Result<(), String> {
        match self.open.last() {
            Some((Kind::Page, 2)) => {
                self.size = value;
                if u64::try_from(value).is_ok_and(|size| size > self.most) {
                    return Err(format!("a page of {value} bytes, at most {}", self.most));
                }
            }
            // A value takes a byte at least.
            Some((Kind::Dictionary, 1)) if value < 0 || value > self.size => {
                return Err(format!("a dictionary of {value} values in {} bytes", self.size));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A header that does not begin with what all have.
fn missing(last: i16) -> String {
    format!("a page without a {}", ["kind", "size", "packed size"][usize::try_from(last).unwrap_or(0).min(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole at once and byte by byte.
    fn said(head: &[u8]) -> Option<String> {
        let whole = PageHeader::new(1 << 28).read(head).err();
        let mut slow = PageHeader::new(1 << 28);
        let parts = head.iter().try_for_each(|byte| slow.read(&[*byte])).err();
        assert_eq!(whole, parts);
        whole
    }

    /// A dictionary page of 61 bytes; a data page with statistics (bounds, a count of nulls, a flag); the second form; fields
    /// of later versions (a structure with a double in it, by its number in full).
    #[test]
    fn headers_as_the_format_has_them() {
        let start = b"\x15\x04\x15\x7a\x15\x7c";
        let with = |rest: &[u8]| [start, rest].concat();
        for good in [
            with(b"\x4c\x15\x0c\x15\x00\x12\x00\x00"),
            with(b"\x15\x02\x1c\x15\x0c\x15\x00\x15\x06\x15\x06\x1c\x36\x02\x28\x03abc\x18\x00\x21\x00\x00\x00"),
            with(b"\x5c\x15\x0c\x15\x00\x15\x0c\x15\x00\x15\x00\x15\x00\x11\x1c\x36\x00\x00\x00\x00"),
            with(b"\x0c\x2a\x17\x00\x00\x00\x00\x00\x00\xf0\x3f\x13\x07\x00\x00"),
        ] {
            assert_eq!(said(&good), None);
            for length in 0..good.len() {
                assert_eq!(said(&good[..length]), None, "{length}");
            }
            // What follows is no header.
            assert_eq!(said(&[&good[..], &[0x19; 40]].concat()), None);
        }
    }

    #[test]
    fn what_claims_too_much_is_refused() {
        let start = b"\x15\x04\x15\x7a\x15\x7c";
        let list = "type 9, which no header has";
        for (head, expected) in [
            (b"\x15\x00\x15\xfe\xff\xff\xff\x0f".to_vec(), "a page of 2147483647 bytes".to_owned()),
            (b"\x15\x00\x15\xa4\xff\xe4\x87\x8e\xe5\xbc?".to_vec(), "a page of 1887215570 bytes".to_owned()),
            (b"\x15\x04\x8b\xe6\xf9\xa6\xa3\x06\x22".to_vec(), "a page without a size".to_owned()),
            (b"\x15\x04\x15\x7a\x00".to_vec(), "a page without a packed size".to_owned()),
            // A dictionary's values, more than its bytes; none.
            ([&start[..], b"\x4c\x15\x7c"].concat(), "a dictionary of 62 values in 61 bytes".to_owned()),
            ([&start[..], b"\x4c\x15\x01"].concat(), "a dictionary of -1 values".to_owned()),
            // Lists and maps: behind the known fields, in the place of one, within one, within statistics.
            ([&start[..], b"\xb9\xf1\xff\xff\xff\xff\x07"].concat(), list.to_owned()),
            ([&start[..], b"\x29\xf1"].concat(), "field 5 of a page's header has type 9, expected 12".to_owned()),
            ([&start[..], b"\x4c\x49\xf1"].concat(), list.to_owned()),
            ([&start[..], b"\x2c\x5c\x99\xf1"].concat(), list.to_owned()),
            ([&start[..], b"\xbc\x1c\x1b\xff"].concat(), "type 11, which no header has".to_owned()),
            // Structures without an end, numbers without an end.
            ([&start[..], &[0x6c; 40]].concat(), "type 12, which no header has".to_owned()),
            ([&start[..], &b"\x15"[..], &[0xff; 20]].concat(), "a number without an end".to_owned()),
        ] {
            let error = said(&head).unwrap_or_else(|| panic!("{head:x?}"));
            assert!(error.contains(&expected), "{error}, not {expected}");
        }
    }
}
