//! Points in the leaf order of a balanced k-d tree.

/// Orders the indices in `order` (points of `rows`, d coordinates each) so that range b, `offsets[b]..offsets[b + 1]` less
/// `offsets[0]`, holds points close to each other: each cut halves the ranges across the widest coordinate. Ties go by index.
/// O(n log n).
pub(crate) fn kd_order(order: &mut [u32], rows: &[f32], d: usize, offsets: &[usize]) {
    if offsets.len() <= 2 {
        return;
    }
    let value = |i: u32, k: usize| rows[i as usize * d + k];
    let extent = |k: usize| {
        let around = (f32::INFINITY, f32::NEG_INFINITY);
        let (low, high) = order.iter().fold(around, |(low, high), &i| (low.min(value(i, k)), high.max(value(i, k))));
        high - low
    };
    let widest = (0..d).map(|k| (extent(k), k)).fold((f32::NEG_INFINITY, 0), |a, b| if b.0 > a.0 { b } else { a }).1;
    let cut = (offsets.len() - 1) / 2;
    let middle = offsets[cut] - offsets[0];
    order.select_nth_unstable_by(middle, |&a, &b| value(a, widest).total_cmp(&value(b, widest)).then(a.cmp(&b)));
    let (low, high) = order.split_at_mut(middle);
    rayon::join(|| kd_order(low, rows, d, &offsets[..=cut]), || kd_order(high, rows, d, &offsets[cut..]));
}

/// `count + 1` offsets that divide `len` points into ranges of equal size, or sizes that differ by one.
pub(crate) fn equal_offsets(len: usize, count: usize) -> Vec<usize> {
    (0..=count).map(|range| range * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_neighbours_in_any_number() {
        // A shuffled line: each range must hold consecutive values.
        let len = 1000;
        let values: Vec<f32> = (0..len).map(|i| ((i * 337) % len) as f32).collect();
        for count in [1, 2, 8, 64] {
            let offsets = equal_offsets(len, count);
            let mut order: Vec<u32> = (0..len as u32).collect();
            kd_order(&mut order, &values, 1, &offsets);
            for range in offsets.windows(2) {
                let mut members: Vec<usize> =
                    order[range[0]..range[1]].iter().map(|&i| values[i as usize] as usize).collect();
                members.sort_unstable();
                assert_eq!(members, (range[0]..range[1]).collect::<Vec<_>>());
            }
        }
    }
}
