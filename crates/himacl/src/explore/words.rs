//! Words that set some texts apart from others.

use serde::Serialize;
use std::collections::HashMap;

/// How sure a word's share must be to differ, in standard deviations.
const LEAST_SURE: f64 = 1.64;
/// Texts that a word must be in to stand for a group.
const FEWEST_TEXTS: u32 = 2;
/// Characters of a word; what is longer is no word.
const LONGEST: usize = 40;

/// The words of texts, each text's counted once.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    words: Vec<String>,
    /// Distinct words of each text, by number.
    texts: Vec<Vec<u32>>,
    /// Texts that each word is in.
    counts: Vec<u32>,
}

/// A word that sets a group apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// The word in lower case.
    pub word: String,
    /// How much larger its log-odds are in the group, in standard deviations.
    pub score: f64,
    /// Texts of the group that it is in.
    pub texts: u32,
}

impl Vocabulary {
    /// Reads the words of all texts: runs of letters and digits in lower case. A missing text has none.
    pub fn new<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut counts = Vec::new();
        let mut number = |word: String| {
            *known.entry(word).or_insert_with(|| {
                counts.push(0);
                counts.len() as u32 - 1
            })
        };
        let texts: Vec<Vec<u32>> = texts
            .into_iter()
            .map(|text| {
                let mut words: Vec<u32> = words_of(text.unwrap_or_default()).map(&mut number).collect();
                words.sort_unstable();
                words.dedup();
                words
            })
            .collect();
        texts.iter().flatten().for_each(|&word| counts[word as usize] += 1);
        let mut words = vec![String::new(); counts.len()];
        known.into_iter().for_each(|(word, number)| words[number as usize] = word);
        Self { words, texts, counts }
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words that are more frequent in the texts of `group` than in those of `rest`, or in all others, the surest first, at
    /// most `count`.
    ///
    /// The score is the difference of log-odds, over its standard deviation, with all texts as an informative prior: what
    /// is frequent everywhere, such as articles, needs much evidence to count.
    ///
    /// References: \[MCQ08\] Monroe, Colaresi, Quinn, "Fightin' words", Political Analysis 16, 2008. We differ in that a text
    /// counts each word once.
    pub fn distinctive(&self, group: &[u32], rest: Option<&[u32]>, count: usize) -> Vec<Word> {
        let tally = |items: &[u32]| {
            let mut counts: HashMap<u32, u32> = HashMap::new();
            let words = items.iter().flat_map(|&item| &self.texts[item as usize]);
            words.for_each(|&word| *counts.entry(word).or_default() += 1);
            counts
        };
        let inside = tally(group);
        let outside = rest.map(tally);
        let (n, m) = (group.len(), rest.map_or(self.texts.len().saturating_sub(group.len()), <[u32]>::len));
        let others = |word: u32, texts: u32| match &outside {
            Some(counts) => counts.get(&word).copied().unwrap_or_default(),
            None => self.counts[word as usize].saturating_sub(texts),
        };
        let all = self.texts.len().max(1) as f64;
        let log_odds = |count: f64, prior: f64, texts: f64| {
            let (hits, misses) = (count + prior, texts - count + 1.0);
            ((hits / misses).ln(), 1.0 / hits)
        };
        let mut found: Vec<Word> = inside
            .iter()
            .filter(|entry| *entry.1 >= FEWEST_TEXTS.min(group.len() as u32))
            .filter_map(|(&word, &texts)| {
                let prior = 0.1 + f64::from(self.counts[word as usize]) / all;
                let (own, own_variance) = log_odds(f64::from(texts), prior, n as f64);
                let (other, variance) = log_odds(f64::from(others(word, texts)), prior, m as f64);
                let score = (own - other) / (own_variance + variance).sqrt();
                let word = self.words[word as usize].clone();
                (score >= LEAST_SURE).then_some(Word { word, score, texts })
            })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.word.cmp(&b.word)));
        found.truncate(count);
        found
    }
}

/// Runs of letters and digits, in lower case; single characters only where a script writes words with them.
fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && word.chars().count() <= LONGEST && (word.len() > 1 || !word.is_ascii()))
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_words_are_found_and_common_ones_are_not() {
        let texts: Vec<String> = (0..300)
            .map(|at| match at % 3 {
                0 => format!("the cat, number {at}"),
                1 => format!("The DOG number {at}"),
                _ => format!("the number {at} 猫"),
            })
            .collect();
        let vocabulary = Vocabulary::new(texts.iter().map(|text| Some(text.as_str())));
        let of = |rest: u32| (0..300).filter(|at| at % 3 == rest).collect::<Vec<u32>>();
        let [cats, dogs, last] = [of(0), of(1), of(2)];
        for (group, others, expected) in
            [(&cats, [&dogs, &last], "cat"), (&dogs, [&cats, &last], "dog"), (&last, [&cats, &dogs], "猫")]
        {
            let rest: Vec<u32> = others.into_iter().flatten().copied().collect();
            let words = vocabulary.distinctive(group, Some(&rest), 5);
            assert_eq!(words, vocabulary.distinctive(group, None, 5));
            assert_eq!(words.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(), [expected]);
            assert_eq!(words[0].texts, 100);
        }
        assert!(Vocabulary::new([None, Some("- a !")]).is_empty());
    }
}
