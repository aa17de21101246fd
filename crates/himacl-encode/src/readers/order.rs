//! One order of names for patterns and folders: numbers by their value, so that part-2 comes before part-10.

use std::cmp::Ordering;
use std::path::Path;

/// Compares paths part by part.
pub(super) fn compare_paths(a: &Path, b: &Path) -> Ordering {
    let parts = |path: &Path| -> Vec<Vec<u8>> {
        path.components().map(|part| part.as_os_str().as_encoded_bytes().to_vec()).collect()
    };
    let (a, b) = (parts(a), parts(b));
    let different = a.iter().zip(&b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    different.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Compares names; those that differ in leading zeros alone by their bytes.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (number, other) = (digits(left), digits(right));
        if number > 0 && other > 0 {
            let (x, y) = (value(&left[..number]), value(&right[..other]));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (left, right) = (&left[number..], &right[other..]);
            continue;
        }
        match (left.split_first(), right.split_first()) {
            (Some((x, rest)), Some((y, others))) if x == y => (left, right) = (rest, others),
            (Some((x, _)), Some((y, _))) => return x.cmp(y),
            (None, None) => return a.cmp(b),
            (x, y) => return x.is_some().cmp(&y.is_some()),
        }
    }
}

/// So many digits begin a name.
fn digits(name: &[u8]) -> usize {
    name.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn value(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_value() {
        let sorted =
            ["", "a", "a-0", "a-2", "a-10", "a-010b", "a-99999999999999999999998", "a-99999999999999999999999", "b1"];
        for (place, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a.as_bytes(), b.as_bytes()), place.cmp(&other), "{a} {b}");
            }
        }
        assert_eq!(compare(b"01", b"1"), Ordering::Less, "a total order");
        assert_eq!(compare_paths(Path::new("a/2/x"), Path::new("a/10")), Ordering::Less);
        assert_eq!(compare_paths(Path::new("a"), Path::new("a/b")), Ordering::Less);
    }
}
