//! With more points on one side than on the other, every point of the smaller side gets a partner of its own.

use hiref_core::{Error, UNMATCHED, pair};

pub(crate) fn main() -> Result<(), Error> {
    // Rows of three coordinates, one after the other.
    let x = [0.0_f32, 0.0, 0.0, 5.0, 5.0, 5.0, 9.0, 0.0, 0.0];
    let y = [5.0_f32, 5.0, 4.0, 0.0, 1.0, 0.0];
    let solved = pair((&x[..], 3), (&y[..], 3)).solve()?;
    for (i, j) in solved.permutation.pairs() {
        println!("x {i} with y {j}");
    }
    assert_eq!(solved.permutation.y_of_x(), [1, 0, UNMATCHED]);
    assert_eq!(solved.permutation.x_of_y(), [1, 0]);
    assert_eq!(solved.mean_cost, 1.0);
    Ok(())
}
