//! The tables that commands end with.

use crate::report::{Figures, ProblemSummary, RunReport, TrainSummary, choices_in_words};
use himacl::train::{ALIGNMENT, ALL_PAIRS, ANCHORS_ONLY, MAIN_PROBLEM};
use std::fmt::Write;

/// Columns of the retrieval table: heading, figure, decimals.
const COLUMNS: [(&str, &str, usize); 9] = [
    ("R@1", "image_to_text_R@1", 3),
    ("R@5", "image_to_text_R@5", 3),
    ("R@10", "image_to_text_R@10", 3),
    ("R@1", "text_to_image_R@1", 3),
    ("R@5", "text_to_image_R@5", 3),
    ("R@10", "text_to_image_R@10", 3),
    ("median", "image_to_text_median_rank", 1),
    ("FOSCTTM", "foscttm", 4),
    ("cosine", "partner_cosine", 3),
];
const WIDTH: usize = 15;
const NAME_WIDTH: usize = 22;

/// A number of things by their name.
pub(crate) fn counted(count: usize, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// Everything that a training command found: one block a problem.
pub(crate) fn training(summary: &TrainSummary, report: &RunReport) -> String {
    let mut text = problem(MAIN_PROBLEM, &summary.main);
    for (name, variant) in &summary.variants {
        text.push('\n');
        text.push_str(&problem(name, variant));
    }
    let _ = write!(text, "\ntook {:.1} s", report.total_seconds);
    if let Some(bytes) = report.peak_rss_bytes {
        let _ = write!(text, ", peak memory {:.2} GiB", bytes as f64 / f64::from(1 << 30));
    }
    text
}

/// The figures of one map: `name` heads its row.
pub(crate) fn retrieval(rows: &[(&str, &str)], metrics: &Figures, deviation: &Figures) -> String {
    let mut text =
        format!("{:NAME_WIDTH$}{:^w3$}{:^w3$}\n", "", "source to target", "target to source", w3 = 3 * WIDTH);
    let _ = write!(text, "{:NAME_WIDTH$}", "");
    for (heading, _, _) in COLUMNS {
        let _ = write!(text, "{heading:>WIDTH$}");
    }
    text.push('\n');
    for (label, prefix) in rows {
        let key = |figure: &str| if prefix.is_empty() { figure.to_owned() } else { format!("{prefix}.{figure}") };
        if !metrics.contains_key(&key("foscttm")) {
            continue;
        }
        let _ = write!(text, "{label:NAME_WIDTH$}");
        for (_, figure, decimals) in COLUMNS {
            let _ = write!(text, "{:>WIDTH$}", number(metrics, deviation, &key(figure), decimals));
        }
        text.push('\n');
    }
    text
}

fn problem(name: &str, summary: &ProblemSummary) -> String {
    let ProblemSummary { seeds, counts, map_choices, standard_deviation, metrics } = summary;
    let count = |key: &str| counts.get(key).copied().unwrap_or_default();
    let mut text = format!(
        "{name}: {} source and {} target items, {} known pairs, {} held out; {}\n",
        count("source_items"),
        count("target_items"),
        count("anchors"),
        count("held_out"),
        if seeds.len() > 1 {
            format!("mean ± standard deviation over seeds {seeds:?}")
        } else {
            format!("seed {}", seeds[0])
        }
    );
    if metrics.contains_key("foscttm") {
        let rows = [
            ("anchors only (ridge)", ANCHORS_ONLY),
            ("aligned, untrained", ALIGNMENT),
            ("HiMACL", ""),
            ("all pairs (ceiling)", ALL_PAIRS),
        ];
        text.push_str(&retrieval(&rows, metrics, standard_deviation));
    }
    if metrics.contains_key("pairing_accuracy_bijection") {
        let _ = writeln!(
            text,
            "pairing accuracy of the unknown pairs: nearest neighbour {}, bijection {}",
            number(metrics, standard_deviation, "pairing_accuracy_nearest", 3),
            number(metrics, standard_deviation, "pairing_accuracy_bijection", 3)
        );
    }
    for line in choices_in_words(seeds, map_choices) {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn number(metrics: &Figures, deviation: &Figures, key: &str, decimals: usize) -> String {
    let Some(value) = metrics.get(key) else { return "-".to_owned() };
    match deviation.get(key) {
        Some(deviation) => format!("{value:.decimals$} ±{deviation:.decimals$}"),
        None => format!("{value:.decimals$}"),
    }
}
