//! How far a result is above the optimum, in words.

/// How far a cost is above the optimum at most, as a share of the optimum, told how far above a bound as a share of the cost itself; none where the
/// bound tells nothing of the optimum's size: it is not of the cost's sign.
fn above_optimum(cost: f64, gap: f64) -> Option<f64> {
    let bound = cost - gap * cost.abs();
    let share = if gap == 0.0 { 0.0 } else { (cost - bound) / bound.abs() };
    (share.is_finite() && bound * cost >= 0.0).then_some(share)
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}%", 100.0 * share)
}

/// What a proof says, `gap` as a share of the cost; none where that is nothing.
pub(crate) fn proved(cost: f64, gap: f64) -> Option<String> {
    Some(format!("at most {} above the optimum (proved)", percent(above_optimum(cost, gap)?, 4)))
}

/// What a sample of rows says: the gap and the upper end of its interval as shares of the cost, the confidence, the rows.
pub(crate) fn estimated(cost: f64, (gap, high): (f64, f64), confidence: f64, rows: usize) -> String {
    let [value, high] = [gap, high].map(|gap| above_optimum(cost, gap).map(|share| percent(share, 2)));
    match (value, high) {
        (Some(value), _) if confidence >= 1.0 => {
            format!("at most {value} above the optimum (all {rows} rows looked at)")
        }
        (value, Some(high)) => {
            let best = value.map(|value| format!(", by the best estimate at most {value}")).unwrap_or_default();
            let confidence = 100.0 * confidence;
            format!("with {confidence}% confidence at most {high} above the optimum{best} (estimated from {rows} rows)")
        }
        _ => format!(
            "how far above the optimum is not known: the sample tells too little (estimated from {rows} rows), --certify proof may tell more"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_optimum() {
        assert_eq!(above_optimum(3.0, 1.0 / 3.0), Some(0.5));
        assert_eq!(above_optimum(-4.0, 0.25), Some(0.2));
        assert_eq!(above_optimum(0.0, 0.0), Some(0.0));
        assert_eq!(above_optimum(3.0, 1.0), None);
        assert_eq!(above_optimum(3.0, 1.5), None);
        assert_eq!(above_optimum(0.0, f64::INFINITY), None);
    }

    #[test]
    fn what_is_said_is_an_upper_limit() {
        assert_eq!(proved(3.0, 1.0 / 3.0).unwrap(), "at most 50.0000% above the optimum (proved)");
        assert!(proved(3.0, 1.2).is_none());
        let said = estimated(3.0, (0.0, 1.0 / 3.0), 0.999, 64);
        assert_eq!(
            said,
            "with 99.9% confidence at most 50.00% above the optimum, by the best estimate at most 0.00% (estimated from 64 rows)"
        );
        let said = estimated(3.0, (1.0 / 3.0, 1.0 / 3.0), 1.0, 64);
        assert_eq!(said, "at most 50.00% above the optimum (all 64 rows looked at)");
        assert!(estimated(3.0, (0.5, 1.5), 0.999, 64).contains("not known"));
    }
}
