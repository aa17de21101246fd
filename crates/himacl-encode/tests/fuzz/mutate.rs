//! Damage: a few changes where they hurt.

/// Repeatable numbers (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Numbers in texts that someone has not thought of.
const NUMBERS: [&[u8]; 10] = [
    b"0",
    b"-1",
    b"1",
    b"4294967296",
    b"99999999999",
    b"18446744073709551615",
    b"9223372036854775807",
    b"1111111111111111111111111111111111111111",
    b"1e308",
    b"0.5",
];
const PIECES: [&[u8]; 12] =
    [b"\0", b"\xff\xfe", b"\"", b"\n", b",", b"\t", b"\r", b"\\u0000", "\u{202e}".as_bytes(), b"'", b"{", b"["];

/// One damaged version; `repair` puts checksums right again where a format has them, so that not all is refused at once.
pub(crate) fn mutate(good: &[u8], repair: fn(&mut [u8]), random: &mut Random) -> Vec<u8> {
    let mut data = good.to_vec();
    for _ in 0..random.pick(&[1, 1, 1, 2, 3, 8]) {
        if data.is_empty() {
            return data;
        }
        change(&mut data, random);
    }
    if random.below(4) > 0 {
        repair(&mut data);
    }
    data
}

fn change(data: &mut Vec<u8>, random: &mut Random) {
    let size = data.len();
    // Headers and footers are where sizes are.
    let edge = size.min(128);
    let at = match random.below(3) {
        0 => random.below(size),
        1 => random.below(edge),
        _ => size - 1 - random.below(edge),
    };
    let length = random.pick(&[1, 2, 4, 8, 64, 512]);
    let end = (at + length).min(size);
    match random.below(9) {
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at..end].fill_with(|| random.next() as u8),
        2 => data.truncate(at),
        3 => drop(data.drain(at..end)),
        4 => {
            let piece = data[at..end].repeat(random.pick(&[1, 2, 50]));
            data.splice(at..at, piece);
        }
        5 => extreme(&mut data[at..], random),
        6 => number(data, random),
        7 => {
            let many = random.pick(&[1, 1, 1, 2000]);
            let piece = random.pick(&PIECES).repeat(many);
            data.splice(at..at, piece);
        }
        _ => {
            let other = random.below(size);
            let length = length.min(size - at).min(size - other);
            (0..length).for_each(|byte| data.swap(at + byte, other + byte));
        }
    }
}

/// Writes an extreme number of one to eight bytes.
fn extreme(place: &mut [u8], random: &mut Random) {
    let width = random.pick(&[1, 2, 4, 8]);
    let all = u64::MAX >> (64 - 8 * width);
    let value = random.pick(&[0, 1, all, all >> 1, (all >> 1) + 1, all >> 8]);
    let bytes = if random.below(2) == 0 { value.to_le_bytes() } else { (value << (64 - 8 * width)).to_be_bytes() };
    place.iter_mut().zip(&bytes[..width]).for_each(|(place, byte)| *place = *byte);
}

/// Exchanges a decimal number.
fn number(data: &mut Vec<u8>, random: &mut Random) {
    let is_digit = |at: usize| data.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..data.len()).filter(|&at| is_digit(at) && (at == 0 || !is_digit(at - 1))).collect();
    if starts.is_empty() {
        return;
    }
    let at = random.pick(&starts);
    let end = (at..data.len()).find(|&end| !is_digit(end)).unwrap_or(data.len());
    data.splice(at..end, random.pick(&NUMBERS).iter().copied());
}
