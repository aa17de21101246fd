//! An explanation with its items by row, text and picture, as JSON and for people.

use super::opened::Opened;
use himacl::explore::{Carrier, Explanation, PairSide, Rival, Single, Word};
use serde_json::{Value, json};
use std::fmt::Write;

/// Characters of a text in what people read.
const SHORT: usize = 70;

impl Opened {
    /// An item of x (0) or y (1): its row in the input file, its text and picture where it has such.
    pub(crate) fn item(&self, side: usize, item: u32) -> Value {
        let mut facts = json!({ "row": self.rows[side][item as usize] });
        let items = &self.items[side];
        if let Some(text) = items.texts.get(item as usize).and_then(Option::as_ref) {
            facts["text"] = text.as_str().into();
        }
        if let Some(picture) = items.pictures.get(item as usize).and_then(Option::as_ref) {
            facts["image"] = picture.to_string_lossy().into();
        }
        facts
    }

    /// The item of a row of the input file, if it is among those of the pairing.
    pub(crate) fn item_of_row(&self, side: usize, row: u32) -> Option<u32> {
        self.rows[side].iter().position(|&known| known == row).map(|at| at as u32)
    }

    /// Everything that was found of a pair.
    pub(crate) fn explanation(&self, found: &Explanation) -> Value {
        let items = |side: usize, items: &[u32]| items.iter().map(|&item| self.item(side, item)).collect::<Vec<_>>();
        let rival = |side: usize, rival: &Rival| {
            let mut facts = self.item(side, rival.item);
            facts["cost"] = rival.cost.into();
            facts["reduced_cost"] = rival.reduced_cost.into();
            facts
        };
        let rivals = |side: usize, all: &[Rival]| all.iter().map(|one| rival(side, one)).collect::<Vec<_>>();
        let end = |words: &[Word], ends: &[Vec<u32>; 2]| json!({ "words": words, "x": items(0, &ends[0]), "y": items(1, &ends[1]) });
        let direction = |carrier: &Carrier| {
            json!({
                "direction": carrier.ends.direction, "contribution": carrier.contribution,
                "towards": if carrier.positive { "positive" } else { "negative" },
                "positive": end(&carrier.ends.positive_words, &carrier.ends.positive_items),
                "negative": end(&carrier.ends.negative_words, &carrier.ends.negative_items),
            })
        };
        let removal = |removal: &himacl::explore::Removal| {
            json!({
                "removed": self.item(0, removal.removed), "partner": self.item(1, removal.partner),
                "cost": removal.cost, "others": removal.others,
            })
        };
        let step =
            |step: &himacl::explore::PathStep| json!({ "t": step.t, "x": items(0, &step.x), "y": items(1, &step.y) });
        let mut facts = json!({
            "x": self.item(0, found.x), "y": self.item(1, found.y),
            "other_partners_of_x": items(1, &found.other_partners_of_x),
            "other_partners_of_y": items(0, &found.other_partners_of_y),
            "cost": found.cost, "reduced_cost": found.reduced_cost, "margin": found.margin,
            "confidence": self.confidence.as_ref().map(|all| all[found.x as usize]).filter(|value| value.is_finite()),
            "nearest_of_x": rival(1, &found.nearest_of_x), "nearest_of_y": rival(0, &found.nearest_of_y),
            "runners_up_of_x": rivals(1, &found.runners_up_of_x), "runners_up_of_y": rivals(0, &found.runners_up_of_y),
            "score": found.score, "directions": found.directions.iter().map(direction).collect::<Vec<_>>(),
            "removals": found.removals.iter().map(removal).collect::<Vec<_>>(),
            "path": found.path.iter().map(step).collect::<Vec<_>>(),
        });
        if let Some(kept) = &self.kept {
            let rows = [self.rows[0][found.x as usize], self.rows[1][found.y as usize]];
            facts["kept"] = kept.contains(&rows).into();
        }
        facts
    }

    /// An item without a partner, and what it might have had.
    pub(crate) fn single(&self, found: &Single) -> Value {
        let (own, other) = if found.side == PairSide::X { ("x", "y") } else { ("y", "x") };
        let rival = |rival: &Rival| {
            let mut facts = self.item(1 - found.side as usize, rival.item);
            facts["cost"] = rival.cost.into();
            facts["reduced_cost"] = rival.reduced_cost.into();
            facts
        };
        let mut facts = json!({ "single": own, "margin": Some(found.margin).filter(|margin| margin.is_finite()) });
        facts[own] = self.item(found.side as usize, found.item);
        facts[other] = Value::Null;
        facts[format!("nearest_of_{own}")] = rival(&found.nearest);
        facts[format!("runners_up_of_{own}")] = found.runners_up.iter().map(rival).collect::<Vec<_>>().into();
        facts
    }
}

/// An item without a partner as people read it.
fn single_in_words(found: &Value, own: &str) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
    let nearest = &found[format!("nearest_of_{own}")];
    let mut text = format!("{own} {}\nsingle, margin {}\n", name(&found[own]), number(&found["margin"]));
    let _ = writeln!(text, "nearest: {} (cost {})", name(nearest), number(&nearest["cost"]));
    let _ = writeln!(text, "{own} might have had");
    for rival in found[format!("runners_up_of_{own}")].as_array().into_iter().flatten() {
        let (dearer, cost) = (number(&rival["reduced_cost"]), number(&rival["cost"]));
        let _ = writeln!(text, "  {dearer:>12} dearer at least: {} (cost {cost})", name(rival));
    }
    text.truncate(text.trim_end().len());
    text
}

/// An explanation as people read it.
pub(crate) fn in_words(found: &Value) -> String {
    if let Some(own) = found["single"].as_str() {
        return single_in_words(found, own);
    }
    let mut text = String::new();
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let _ = writeln!(text, "x {}\ny {}", name(&found["x"]), name(&found["y"]));
    let _ = writeln!(text, "cost {}, margin {}", number(&found["cost"]), number(&found["margin"]));
    if found["kept"] == false {
        let _ = writeln!(text, "not kept: left out of pairs.parquet, as was asked of `himacl pair`");
    }
    for (own, key) in [("x", "other_partners_of_x"), ("y", "other_partners_of_y")] {
        let others: Vec<String> = list(&found[key]).iter().map(name).collect();
        if !others.is_empty() {
            let _ = writeln!(text, "other partners of {own}: {}", others.join("; "));
        }
    }
    if found["nearest_of_x"]["row"] != found["y"]["row"] {
        let nearest = &found["nearest_of_x"];
        let _ = writeln!(text, "nearer to x: {} (cost {})", name(nearest), number(&nearest["cost"]));
    }
    for (heading, key) in [("x might have had", "runners_up_of_x"), ("y might have had", "runners_up_of_y")] {
        let _ = writeln!(text, "{heading}");
        for rival in list(&found[key]) {
            let _ = writeln!(text, "  {:>12} dearer at least: {}", number(&rival["reduced_cost"]), name(&rival));
        }
    }
    text.push_str("why\n");
    for direction in list(&found["directions"]) {
        let end = &direction[direction["towards"].as_str().unwrap_or("positive")];
        let words: Vec<Value> = list(&end["words"]);
        let words: Vec<&str> = words.iter().filter_map(|word| word["word"].as_str()).collect();
        let like = list(&end["x"]).first().map(name).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:>12} of {}: towards {} (as {like})",
            number(&direction["contribution"]),
            number(&found["score"]),
            if words.is_empty() { "no words that stand out".to_owned() } else { words.join(", ") }
        );
    }
    for removal in list(&found["removals"]) {
        let _ = writeln!(text, "without x {} it would have {}", name(&removal["removed"]), name(&removal["partner"]));
    }
    text.truncate(text.trim_end().len());
    text
}

fn name(item: &Value) -> String {
    let mut name = format!("row {}", item["row"]);
    if let Some(text) = item["text"].as_str() {
        // Control characters do not belong on a terminal.
        let short: String = text.chars().filter(|c| !c.is_control()).take(SHORT).collect();
        let _ = write!(name, " `{short}`");
    } else if let Some(image) = item["image"].as_str() {
        let _ = write!(name, " {image}");
    }
    name
}
