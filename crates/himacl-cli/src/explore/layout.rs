//! A second layout of the map, by t-SNE: it keeps neighbours together, where the directions keep distances.

use bhtsne::tSNE;
use himacl::explore::Directions;

/// Neighbours that count for an item, as far as there are so many.
const PERPLEXITY: f32 = 30.0;
/// Fewer items have no layout of their own.
const FEWEST: usize = 16;
/// The spread that the layout begins with, as is usual: it must not hold the items where they are.
const SPREAD: f32 = 1e-4;

/// Places of the items of x, `(n, 2)`, and of y, `(m, 2)`, all in one layout by their coordinates along the directions; it begins
/// with the two directions of most agreement.
///
/// *Complexity*: O((n + m) log(n + m)) for each of 1,000 steps. *Determinism*: same bits, because one thread does it.
///
/// References: \[LRHSK19\] Linderman, Rachh, Hoskins, Steinerberger, Kluger, "Fast interpolation-based t-SNE for improved visualization of
/// single-cell RNA-seq data", Nature Methods 16, 2019.
pub(super) fn by_neighbours(directions: &Directions) -> [Vec<f32>; 2] {
    let planes = [directions.plane(0), directions.plane(1)];
    let split = planes[0].len();
    let start = planes.concat();
    let total = start.len() / 2;
    let whole = |places: Vec<f32>| [places[..split].to_vec(), places[split..].to_vec()];
    let variance = start.iter().step_by(2).map(|value| value * value).sum::<f32>() / total.max(1) as f32;
    if total < FEWEST || variance <= 0.0 {
        return whole(start);
    }
    let coordinates = [directions.coordinates(0), directions.coordinates(1)].concat();
    let rows: Vec<&[f32]> = coordinates.chunks(directions.len()).collect();
    let distance = |a: &&[f32], b: &&[f32]| a.iter().zip(*b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    let scale = SPREAD / variance.sqrt();
    let fit = || {
        let mut layout: tSNE<'_, f32, &[f32]> = tSNE::new(&rows);
        layout.perplexity(PERPLEXITY.min((total - 1) as f32 / 3.5));
        layout.initial_embedding(start.iter().map(|value| scale * value).collect::<Vec<f32>>());
        layout.fit_sne(distance).embedding()
    };
    // Sums over several threads would depend on how many there are.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let found = alone.map(|pool| pool.install(fit)).unwrap_or_default();
    if found.len() == start.len() && found.iter().all(|value| value.is_finite()) { whole(found) } else { whole(start) }
}
