//! Columns of the metadata by which items are coloured.

use super::items::Items;
use super::pack::Pack;
use crate::error::Error;
use crate::report::Table;
use arrow_array::{ArrayRef, Float64Array, StringArray};
use clap::Args;
use himacl::data::ColumnValues;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Classes with a colour of their own; whole numbers of no more different values are names of classes.
const CLASSES: usize = 11;
/// A value that is missing.
const MISSING: u32 = u32::MAX;
/// Characters of a name on the page.
const LONGEST_NAME: usize = 200;

/// What items are coloured by, on the command line.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ColourArgs {
    /// Colour by this column of the metadata, of both sides where both have it. Numbers have a scale, text and categories a
    /// colour for each of the 11 most frequent. May be given several times.
    #[arg(long, visible_alias = "color", value_name = "COLUMN", help_heading = "Texts and pictures")]
    pub(crate) colour: Vec<String>,
}

/// One column, of the sides that have it.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
}

/// What a column holds, of x and of y.
#[derive(Debug, Clone)]
pub(crate) enum ColumnKind {
    /// Numbers; NaN where one is missing.
    Numbers([Option<Vec<f64>>; 2]),
    /// Classes: all names, those of most items first, and the place of each item's among them or `u32::MAX`.
    Classes(Vec<String>, [Option<Vec<u32>>; 2]),
}

impl Column {
    /// The columns of these names, of both sides' items.
    ///
    /// # Errors
    /// One that neither side has.
    pub(crate) fn all(names: &[String], items: &[Items; 2]) -> Result<Vec<Self>, Error> {
        let one = |name: &String| {
            let of =
                |items: &Items| items.columns.iter().find(|(known, _)| known == name).map(|(_, values)| values.clone());
            let sides = [of(&items[0]), of(&items[1])];
            if sides.iter().all(Option::is_none) {
                let [x, y] = items.each_ref().map(|items| items.known_columns.clone());
                return Err(Error::NoColour { column: name.clone(), x, y });
            }
            Ok(Self { name: name.clone(), kind: ColumnKind::of(&sides) })
        };
        names.iter().map(one).collect()
    }

    /// The values of items, each of a side, as a column of a table.
    pub(super) fn array(&self, items: &[(usize, u32)]) -> ArrayRef {
        match &self.kind {
            ColumnKind::Numbers(sides) => {
                let value = |&(side, item): &(usize, u32)| {
                    Some(sides[side].as_ref()?[item as usize]).filter(|value| !value.is_nan())
                };
                Arc::new(items.iter().map(value).collect::<Float64Array>())
            }
            ColumnKind::Classes(names, sides) => {
                let name = |&(side, item): &(usize, u32)| names.get(sides[side].as_ref()?[item as usize] as usize);
                Arc::new(items.iter().map(name).collect::<StringArray>())
            }
        }
    }

    /// Adds what the page shows of it.
    pub(super) fn pack(&self, pack: &mut Pack, at: usize) -> Value {
        let name = |side: usize| format!("column{at}{}", ["X", "Y"][side]);
        match &self.kind {
            ColumnKind::Numbers(sides) => {
                for (side, values) in
                    sides.iter().enumerate().filter_map(|(side, values)| Some((side, values.as_ref()?)))
                {
                    pack.floats(&name(side), values.iter().map(|&value| value as f32));
                }
                json!({ "name": self.name })
            }
            ColumnKind::Classes(names, sides) => {
                for (side, codes) in sides.iter().enumerate().filter_map(|(side, codes)| Some((side, codes.as_ref()?)))
                {
                    pack.whole(&name(side), codes);
                }
                let short = |name: &String| name.chars().take(LONGEST_NAME).collect::<String>();
                json!({ "name": self.name, "classes": names.iter().map(short).collect::<Vec<_>>(), "coloured": CLASSES })
            }
        }
    }

    /// What the column says of a pairing: how many items of each side have which value, how many of them with partners of
    /// the same.
    pub(crate) fn table(&self, pairs: &[[u32; 2]]) -> Table {
        let (columns, rows, note) = match &self.kind {
            ColumnKind::Numbers(sides) => numbers_table(sides, pairs),
            ColumnKind::Classes(names, sides) => classes_table(names, sides, pairs),
        };
        Table { heading: format!("By {}", self.name), note, columns, rows }
    }
}

impl ColumnKind {
    fn of(sides: &[Option<ColumnValues>; 2]) -> Self {
        let numbers = |values: &ColumnValues| match values {
            ColumnValues::Numbers(values) => {
                Some(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<f64>>())
            }
            ColumnValues::Names(_) => None,
        };
        let all_numbers = sides.iter().flatten().all(|values| matches!(values, ColumnValues::Numbers(_)));
        if all_numbers {
            let sides = sides.each_ref().map(|values| values.as_ref().and_then(numbers));
            let known = sides.iter().flatten().flatten().copied().filter(|value| !value.is_nan());
            let mut different: Vec<f64> = Vec::new();
            for value in known {
                if value.fract() != 0.0 || different.len() > CLASSES {
                    return Self::Numbers(sides);
                }
                if !different.contains(&value) {
                    different.push(value);
                }
            }
            if different.is_empty() || different.len() > CLASSES {
                return Self::Numbers(sides);
            }
            different.sort_by(f64::total_cmp);
            let code = |value: &f64| different.iter().position(|known| known == value).map_or(MISSING, |at| at as u32);
            let codes = sides.map(|values| Some(values?.iter().map(code).collect()));
            return Self::Classes(different.iter().map(f64::to_string).collect(), codes);
        }
        let names = |values: &ColumnValues| -> Vec<Option<String>> {
            match values {
                ColumnValues::Numbers(values) => values.iter().map(|value| Some(value.as_ref()?.to_string())).collect(),
                ColumnValues::Names(values) => values.clone(),
            }
        };
        let sides = sides.each_ref().map(|values| values.as_ref().map(names));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        sides.iter().flatten().flatten().flatten().for_each(|name| *counts.entry(name).or_default() += 1);
        let mut order: Vec<(&str, usize)> = counts.into_iter().collect();
        // Of equally frequent ones the first by name.
        order.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let place: HashMap<&str, u32> = order.iter().zip(0..).map(|(&(name, _), at)| (name, at)).collect();
        let code = |name: &Option<String>| name.as_ref().map_or(MISSING, |name| place[name.as_str()]);
        let codes = sides.each_ref().map(|values| values.as_ref().map(|values| values.iter().map(code).collect()));
        Self::Classes(order.iter().map(|(name, _)| (*name).to_owned()).collect(), codes)
    }
}

type Rows = Vec<(String, Vec<String>)>;

/// Heads of the columns of the sides that there are.
fn heads<T>(sides: &[Option<T>; 2]) -> Vec<String> {
    let named = sides.iter().zip(["x", "y"]).filter(|(side, _)| side.is_some());
    named.map(|(_, name)| format!("items of {name}")).collect()
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1}%", 100.0 * part / whole) } else { String::new() }
}

fn classes_table(names: &[String], sides: &[Option<Vec<u32>>; 2], pairs: &[[u32; 2]]) -> (Vec<String>, Rows, String) {
    let mut columns = heads(sides);
    let slots = names.len() + 1;
    let slot = |code: u32| (code as usize).min(names.len());
    let counts = sides.each_ref().map(|codes| {
        let mut counts = vec![0usize; slots];
        codes.iter().flatten().for_each(|&code| counts[slot(code)] += 1);
        counts
    });
    // Of each value: pairs of which both values are known, those of one value on both sides.
    let (mut of_x, mut of_y, mut same) = (vec![0usize; slots], vec![0usize; slots], vec![0usize; slots]);
    if let [Some(x), Some(y)] = sides {
        columns.push("with a partner of the same".to_owned());
        let known = |&[i, j]: &[u32; 2]| (x[i as usize], y[j as usize]);
        for (x, y) in pairs.iter().map(known).filter(|&(x, y)| x != MISSING && y != MISSING) {
            of_x[x as usize] += 1;
            of_y[y as usize] += 1;
            same[x as usize] += usize::from(x == y);
        }
    }
    let both = sides.iter().all(Option::is_some);
    let row = |name: String, range: std::ops::Range<usize>| {
        let sum = |counts: &[usize]| counts[range.clone()].iter().sum::<usize>();
        let mut values: Vec<String> = sides
            .iter()
            .zip(&counts)
            .filter(|(side, _)| side.is_some())
            .map(|(_, counts)| sum(counts).to_string())
            .collect();
        if both {
            values.push(percent(sum(&same) as f64, sum(&of_x) as f64));
        }
        (name, values)
    };
    let shown = names.len().min(CLASSES);
    let mut rows: Rows = names[..shown].iter().enumerate().map(|(at, name)| row(name.clone(), at..at + 1)).collect();
    if shown < names.len() {
        rows.push(row(format!("{} others", names.len() - shown), shown..names.len()));
    }
    rows.push(row("missing".to_owned(), names.len()..slots));
    rows.retain(|(name, values)| name != "missing" || values.iter().any(|value| !value.is_empty() && value != "0"));
    let (all, same): (usize, usize) = (of_x.iter().sum(), same.iter().sum());
    if !both || all == 0 {
        return (columns, rows, String::new());
    }
    let chance: f64 = of_x.iter().zip(&of_y).map(|(&x, &y)| x as f64 * y as f64).sum::<f64>() / (all as f64).powi(2);
    let note = format!(
        "{same} of {all} pairs ({}) have the same value on both sides; of pairs made at random {} would.",
        percent(same as f64, all as f64),
        percent(chance, 1.0)
    );
    (columns, rows, note)
}

fn numbers_table(sides: &[Option<Vec<f64>>; 2], pairs: &[[u32; 2]]) -> (Vec<String>, Rows, String) {
    let sorted = sides.each_ref().map(|values| {
        let mut known: Vec<f64> = values.iter().flatten().copied().filter(|value| !value.is_nan()).collect();
        known.sort_by(f64::total_cmp);
        known
    });
    let there = || sides.iter().zip(&sorted).filter_map(|(side, sorted)| Some((side.as_ref()?, sorted)));
    let at = |share: f64| -> Vec<String> {
        let value = |known: &[f64]| {
            known.get((share * known.len().saturating_sub(1) as f64).round() as usize).map(f64::to_string)
        };
        there().map(|(_, known)| value(known).unwrap_or_default()).collect()
    };
    let shares = [("least", 0.0), ("lower quarter", 0.25), ("middle", 0.5), ("upper quarter", 0.75), ("greatest", 1.0)];
    let mut rows: Rows = shares.iter().map(|&(name, share)| (name.to_owned(), at(share))).collect();
    rows.push(("missing".to_owned(), there().map(|(all, known)| (all.len() - known.len()).to_string()).collect()));
    let note = match sides {
        [Some(x), Some(y)] => {
            let known: Vec<(f64, f64)> = pairs
                .iter()
                .map(|&[i, j]| (x[i as usize], y[j as usize]))
                .filter(|(a, b)| !a.is_nan() && !b.is_nan())
                .collect();
            rank_correlation(&known).map_or_else(String::new, |rho| {
                format!(
                    "Over {} pairs the rank correlation of partners is {rho:.3}; of pairs made at random it is 0.",
                    known.len()
                )
            })
        }
        _ => String::new(),
    };
    (heads(sides), rows, note)
}

/// Spearman's: the correlation of the ranks, ties at their mean rank. None where a side has one value only.
fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let ranks = |values: Vec<f64>| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut ranks = vec![0.0; values.len()];
        let mut start = 0;
        for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
            let mean = start as f64 + (tied.len() - 1) as f64 / 2.0;
            tied.iter().for_each(|&at| ranks[at] = mean);
            start += tied.len();
        }
        let middle = (values.len() as f64 - 1.0) / 2.0;
        ranks.iter_mut().for_each(|rank| *rank -= middle);
        ranks
    };
    let (x, y) = (ranks(pairs.iter().map(|pair| pair.0).collect()), ranks(pairs.iter().map(|pair| pair.1).collect()));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    (scale > 0.0).then(|| product(&x, &y) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(values: &[&str]) -> ColumnValues {
        ColumnValues::Names(
            values.iter().map(|value| Some((*value).to_owned()).filter(|value| !value.is_empty())).collect(),
        )
    }

    #[test]
    fn classes_are_counted_and_compared_between_partners() {
        let kind = ColumnKind::of(&[Some(names(&["b", "a", "b", ""])), Some(names(&["b", "b", "a", "c"]))]);
        let column = Column { name: "kind".to_owned(), kind };
        let pairs = [[0, 0], [1, 2], [2, 1], [3, 3]];
        let table = column.table(&pairs);
        let row =
            |at: usize| (table.rows[at].0.as_str(), table.rows[at].1.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(row(0), ("b", vec!["2", "2", "100.0%"]));
        assert_eq!(row(1), ("a", vec!["1", "1", "100.0%"]));
        assert_eq!(row(3), ("missing", vec!["1", "0", ""]));
        assert!(
            table.note.starts_with("3 of 3 pairs (100.0%)") && table.note.contains("random 55.6%"),
            "{}",
            table.note
        );
        let array = column.array(&[(0, 3), (1, 3), (0, 0)]);
        let expected = StringArray::from(vec![None, Some("c"), Some("b")]);
        assert_eq!(array.as_ref(), &expected as &dyn arrow_array::Array);
    }

    #[test]
    fn the_rarest_classes_are_the_others() {
        let texts: Vec<String> = (0..40).map(|at: usize| format!("kind {:02}", (at * at) % 14)).collect();
        let kind = ColumnKind::of(&[Some(names(&texts.iter().map(String::as_str).collect::<Vec<_>>())), None]);
        let ColumnKind::Classes(all, _) = &kind else { panic!("{kind:?}") };
        let count = |name: &String| texts.iter().filter(|text| *text == name).count();
        assert!(all.is_sorted_by(|a, b| (count(b), a) <= (count(a), b)), "{all:?}");
        let many: Vec<String> = (0..40).map(|at| format!("kind {:02}", at % 14)).collect();
        let kind = ColumnKind::of(&[Some(names(&many.iter().map(String::as_str).collect::<Vec<_>>())), None]);
        let table = Column { name: String::new(), kind }.table(&[]);
        assert_eq!((table.rows.len(), table.rows[11].0.as_str()), (12, "3 others"));
        assert_eq!(table.rows[11].1, ["7"]);
    }

    #[test]
    fn few_whole_numbers_are_classes_and_other_numbers_have_a_scale() {
        let numbers = |values: &[f64]| {
            Some(ColumnValues::Numbers(values.iter().map(|&v| Some(v).filter(|v| !v.is_nan())).collect()))
        };
        let kind = ColumnKind::of(&[numbers(&[10.0, 2.0, f64::NAN]), numbers(&[2.0, 1.0, 1.0])]);
        let ColumnKind::Classes(all, [Some(x), Some(_)]) = &kind else { panic!("{kind:?}") };
        assert_eq!((all.join(" ").as_str(), x.as_slice()), ("1 2 10", &[2, 1, MISSING][..]));
        for values in [(0..12).map(f64::from).collect::<Vec<_>>(), vec![0.5, 1.0], vec![f64::NAN]] {
            assert!(matches!(ColumnKind::of(&[numbers(&values), None]), ColumnKind::Numbers(_)), "{values:?}");
        }
        let kind = ColumnKind::of(&[numbers(&[0.1, 0.2, 0.3, 0.4]), numbers(&[8.5, 6.0, 7.0, f64::NAN])]);
        let table = Column { name: "age".to_owned(), kind }.table(&[[0, 0], [1, 1], [2, 2], [3, 3]]);
        assert!(table.note.contains("Over 3 pairs") && table.note.contains("is -0.500"), "{}", table.note);
        assert_eq!(table.rows[4], ("greatest".to_owned(), vec!["0.4".to_owned(), "8.5".to_owned()]));
        assert_eq!(table.rows[5].1, ["0", "1"]);
    }
}
