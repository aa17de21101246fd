//! Pairs two clouds of points in the plane, in the memory where they are, and shows the progress.

use hiref_core::{CostKind, Error, Event, Observer, Quality, pair};

struct Log;

impl Observer for Log {
    fn on_event(&self, event: &Event) {
        if let Event::PhaseFinished { phase, seconds } = event {
            println!("{:>8}: {seconds:.3} s", phase.name());
        }
    }
}

pub(crate) fn main() -> Result<(), Error> {
    // A spiral, and the same spiral moved by (0.5, 0.25): moving every point by as much is optimal.
    let spiral = |shift: [f32; 2]| -> Vec<[f32; 2]> {
        let point = |i: u16| (f32::from(i) * 0.01, f32::from(i) * 0.002);
        (0..2000)
            .map(point)
            .map(|(angle, radius)| [angle.cos() * radius + shift[0], angle.sin() * radius + shift[1]])
            .collect()
    };
    let (x, mut y) = (spiral([0.0, 0.0]), spiral([0.5, 0.25]));
    y.reverse();
    let solved = pair(&x, &y).cost(CostKind::SquaredEuclidean).quality(Quality::Best).observer(&Log).solve()?;
    println!("mean squared distance {:.6}, {:?}", solved.mean_cost, solved.termination);
    println!("the first point goes to {:?}", y[solved.permutation.y_of_x()[0] as usize]);
    assert!(solved.exact && (solved.mean_cost - 0.3125).abs() < 1e-5);
    assert_eq!(solved.permutation.y_of_x()[0], 1999);
    Ok(())
}
