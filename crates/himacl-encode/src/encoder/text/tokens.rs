//! Texts to tokens.

use crate::encoder::Tokens;
use crate::encoder::config::Config;
use crate::error::EncoderError;
use himacl_data::guarded;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::utils::truncation::{TruncationDirection, TruncationParams};

/// A tokenizer with what a model puts around its texts.
pub(in crate::encoder) struct Splitter {
    tokenizer: Tokenizer,
    prefix: String,
    lowercase: bool,
    /// The length that all texts are filled up to, and with what.
    fill: Option<(usize, u32)>,
    /// Of a static model.
    table: Option<Table>,
}

/// How static models split texts.
pub(super) struct TableTokens {
    /// The longest text, in tokens.
    pub(super) longest: Option<usize>,
    /// Whether unknown tokens are left out, and texts are cut by their letters beforehand.
    pub(super) without_unknown: bool,
}

/// The same for one tokenizer.
struct Table {
    /// A text has so many letters at most.
    letters: Option<usize>,
    /// The token that is left out.
    unknown: Option<u32>,
}

impl Splitter {
    /// Reads tokenizer.json, or builds BERT's tokenizer from vocab.txt.
    pub(in crate::encoder) fn load(
        folder: &Path,
        prefix: String,
        max_tokens: usize,
        lowercase: bool,
    ) -> Result<Self, EncoderError> {
        let (path, vocabulary) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        let wrong = |error: tokenizers::Error| EncoderError::File { path: path.clone(), reason: error.to_string() };
        let mut tokenizer =
            if !path.exists() && vocabulary.exists() { bert(&vocabulary)? } else { read(&path).map_err(wrong)? };
        // Padding belongs to a batch, not to a text; the file may ask for some.
        tokenizer.with_padding(None);
        let mut direction = tokenizer.get_truncation().map(|truncation| truncation.direction).unwrap_or_default();
        if let Some(config) = Config::read_if_there(&folder.join("tokenizer_config.json"))? {
            normalize(&mut tokenizer, &config)?;
            check_ends(&tokenizer, &config)?;
            direction = match config.text("truncation_side", "") {
                "" => direction,
                "right" => TruncationDirection::Right,
                "left" => TruncationDirection::Left,
                other => return Err(config.wrong(format!("`truncation_side` is `{other}`, expected left or right"))),
            };
        }
        let truncation = TruncationParams { max_length: max_tokens, direction, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(wrong)?;
        Ok(Self { tokenizer, prefix, lowercase, fill: None, table: None })
    }

    /// Reads tokenizer.json alone, for a static model.
    pub(super) fn of_table(
        folder: &Path,
        prefix: String,
        lowercase: bool,
        how: &TableTokens,
    ) -> Result<Self, EncoderError> {
        let path = folder.join("tokenizer.json");
        let wrong = |error: tokenizers::Error| EncoderError::File { path: path.clone(), reason: error.to_string() };
        let mut tokenizer = read(&path).map_err(wrong)?;
        tokenizer.with_padding(None);
        // model2vec sets the length itself; Sentence-Transformers leaves what the file says.
        if how.without_unknown || how.longest.is_some() {
            let params = |max_length| TruncationParams { max_length, ..TruncationParams::default() };
            tokenizer.with_truncation(how.longest.map(params)).map_err(wrong)?;
        }
        let (mut letters, mut unknown) = (None, None);
        if how.without_unknown {
            letters = how.longest.map(|tokens| tokens * median_length(&tokenizer));
            unknown = match tokenizer.get_model() {
                ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
                ModelWrapper::WordLevel(model) => tokenizer.token_to_id(&model.unk_token),
                ModelWrapper::BPE(model) => model.unk_token.as_ref().and_then(|token| tokenizer.token_to_id(token)),
                ModelWrapper::Unigram(_) => unknown_of_unigrams(&path)?,
            };
        }
        Ok(Self { tokenizer, prefix, lowercase, fill: None, table: Some(Table { letters, unknown }) })
    }

    /// Tokens that the tokenizer may give: one more than the largest number.
    pub(super) fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Fills every text up to a length.
    pub(in crate::encoder) fn filled(self, length: usize, with: u32) -> Self {
        Self { fill: Some((length, with)), ..self }
    }

    /// Turns every text to lower case first.
    pub(in crate::encoder) fn lowercase(self) -> Self {
        Self { lowercase: true, ..self }
    }

    /// The number of a token.
    pub(in crate::encoder) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The tokens that the prompt takes of every text, with what the model puts before it.
    pub(in crate::encoder) fn prompt_tokens(&self) -> Result<usize, EncoderError> {
        if self.prefix.is_empty() {
            return Ok(0);
        }
        let text = if self.lowercase { self.prefix.to_lowercase() } else { self.prefix.clone() };
        // Sentence-Transformers measures the prompt without the space that sets it off.
        let encoding = guarded(|| self.tokenizer.encode(text.trim(), true), damaged);
        let encoding = encoding.map_err(|error| EncoderError::Tokenizer(error.to_string()))?;
        // What ends a text ends the prompt alone, too.
        let ends = encoding.get_special_tokens_mask().last().is_some_and(|&special| special == 1);
        Ok(encoding.len() - usize::from(ends))
    }

    pub(in crate::encoder) fn split(&self, text: &str) -> Result<Tokens, EncoderError> {
        let text = format!("{}{text}", self.prefix);
        let text = if self.lowercase { text.to_lowercase() } else { text };
        let wrong = |error: tokenizers::Error| EncoderError::Tokenizer(error.to_string());
        if let Some(Table { letters, unknown }) = self.table {
            let end = letters.and_then(|letters| text.char_indices().nth(letters)).map_or(text.len(), |(end, _)| end);
            let encode = || self.tokenizer.encode_fast(&text[..end], false);
            let encoding = guarded(encode, damaged).map_err(wrong)?;
            // A text may have no token at all: its embedding is zero.
            return Ok(Tokens(encoding.get_ids().iter().copied().filter(|id| Some(*id) != unknown).collect()));
        }
        let encoding = guarded(|| self.tokenizer.encode_fast(text, true), damaged).map_err(wrong)?;
        let mut ids = encoding.get_ids().to_vec();
        if let Some((length, with)) = self.fill {
            ids.resize(length.max(ids.len()), with);
        }
        if ids.is_empty() {
            return Err(EncoderError::NoTokens);
        }
        Ok(Tokens(ids))
    }
}

/// Refuses a tokenizer that does not put around texts what `tokenizer_config.json` says: Gemma's and Llama's do in Python.
fn check_ends(tokenizer: &Tokenizer, config: &Config) -> Result<(), EncoderError> {
    let mut around = None;
    for (flag, key, is_first) in [("add_bos_token", "bos_token", true), ("add_eos_token", "eos_token", false)] {
        let token = config.get(key).map(|token| token.get("content").unwrap_or(token));
        let (true, Some(token)) = (config.flag(flag), token.and_then(Value::as_str)) else { continue };
        if around.is_none() {
            let encoding = guarded(|| tokenizer.encode_fast("a", true), damaged);
            let encoding = encoding.map_err(|error| EncoderError::Tokenizer(error.to_string()))?;
            around = Some((encoding.get_ids().first().copied(), encoding.get_ids().last().copied()));
        }
        let found = around.and_then(|(first, last)| if is_first { first } else { last });
        if found != tokenizer.token_to_id(token) {
            let place = if is_first { "before" } else { "behind" };
            return Err(config.wrong(format!("`{flag}` is true, and tokenizer.json puts no `{token}` {place} texts")));
        }
    }
    Ok(())
}

/// The unknown token of unigrams, which the tokenizer does not tell.
fn unknown_of_unigrams(path: &Path) -> Result<Option<u32>, EncoderError> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_id: Option<u32>,
    }
    let wrong = |reason: String| EncoderError::File { path: path.to_path_buf(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let file: File = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(file.model.unk_id)
}

/// The median of the lengths of all tokens, in letters, rounded down.
fn median_length(tokenizer: &Tokenizer) -> usize {
    let mut lengths: Vec<usize> = tokenizer.get_vocab(true).into_keys().map(|token| token.chars().count()).collect();
    lengths.sort_unstable();
    match lengths.len() {
        0 => 0,
        n if n % 2 == 1 => lengths[n / 2],
        n => usize::midpoint(lengths[n / 2 - 1], lengths[n / 2]),
    }
}

/// What `tokenizer_config.json` says of BERT's normalizer goes before what tokenizer.json says, or before its defaults.
fn normalize(tokenizer: &mut Tokenizer, config: &Config) -> Result<(), EncoderError> {
    let Some(&NormalizerWrapper::BertNormalizer(mut normalizer)) = tokenizer.get_normalizer() else { return Ok(()) };
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    normalizer.lowercase = flag("do_lower_case").unwrap_or(normalizer.lowercase);
    normalizer.strip_accents = flag("strip_accents").or(normalizer.strip_accents);
    normalizer.handle_chinese_chars = flag("tokenize_chinese_chars").unwrap_or(normalizer.handle_chinese_chars);
    let set = tokenizer.with_normalizer(Some(normalizer));
    set.map(drop).map_err(|error| config.wrong(error.to_string()))
}

/// BERT's tokenizer, for repositories older than tokenizer.json.
fn bert(vocabulary: &Path) -> Result<Tokenizer, EncoderError> {
    let wrong = |reason: String| EncoderError::File { path: vocabulary.to_path_buf(), reason };
    let path = vocabulary.to_str().ok_or_else(|| wrong("the path is not UTF-8".to_owned()))?;
    let model =
        WordPiece::from_file(path).unk_token("[UNK]".to_owned()).build().map_err(|error| wrong(error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    let id = |token: &str| {
        let id = tokenizer.token_to_id(token).ok_or_else(|| wrong(format!("there is no `{token}`")))?;
        Ok::<_, EncoderError>((token.to_owned(), id))
    };
    let around = BertProcessing::new(id("[SEP]")?, id("[CLS]")?);
    let result = tokenizer.with_normalizer(Some(BertNormalizer::default()));
    result.map_err(|error| wrong(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(around));
    Ok(tokenizer)
}

/// Reads a tokenizer; the library panics over some damaged ones, here and where they split texts.
fn read(path: &Path) -> tokenizers::Result<Tokenizer> {
    guarded(|| Tokenizer::from_file(path), damaged)
}

fn damaged(reason: &str) -> tokenizers::Error {
    format!("it is damaged, or a part of it is of no kind that is known ({reason})").into()
}
