//! The costs, written down independently of the solver's.

/// A cost between two points of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// `|x - y|²`
    SquaredEuclidean,
    /// `|x - y|`
    Euclidean,
    /// `1 - <x, y> / (|x| |y|)`
    Cosine,
    /// `-<x, y>`
    NegativeInnerProduct,
}

impl Cost {
    /// Every cost.
    pub const ALL: [Self; 4] = [Self::SquaredEuclidean, Self::Euclidean, Self::Cosine, Self::NegativeInnerProduct];

    /// The cost of that name, as on the command line.
    ///
    /// # Panics
    /// If there is none: a mistake in the test that asks.
    pub fn of_name(name: &str) -> Self {
        match name {
            "sqeuclidean" => Self::SquaredEuclidean,
            "euclidean" => Self::Euclidean,
            "cosine" => Self::Cosine,
            "neg-dot" => Self::NegativeInnerProduct,
            _ => panic!("no cost is named `{name}`"),
        }
    }

    /// The cost between two points, `(d,)` each, in f64.
    ///
    /// # Panics
    /// If the two differ in length.
    pub fn between(self, x: &[f32], y: &[f32]) -> f64 {
        assert_eq!(x.len(), y.len(), "points of different dimension");
        let (mut inner, mut norm_x, mut norm_y, mut square) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        for k in 0..x.len() {
            let (a, b) = (f64::from(x[k]), f64::from(y[k]));
            inner += a * b;
            norm_x += a * a;
            norm_y += b * b;
            square += (a - b).powi(2);
        }
        match self {
            Self::SquaredEuclidean => square,
            Self::Euclidean => square.sqrt(),
            Self::Cosine => 1.0 - inner / (norm_x.sqrt() * norm_y.sqrt()),
            Self::NegativeInnerProduct => -inner,
        }
    }
}
