//! What clip-retrieval's client and front end ask, and what they are answered.

use super::routes::Refused;
use crate::finder::{Finder, Query};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

/// Hits of one query, at most.
const MOST_HITS: usize = 1000;
/// Characters of a query's text, at most.
const LONGEST_TEXT: usize = 10_000;
/// Names of the sides.
pub(super) const SIDES: [&str; 2] = ["source", "target"];

/// The body of `/knn-service`, by the names of clip-retrieval's client; what is not listed does not matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    text: Option<String>,
    image: Option<String>,
    image_url: Option<String>,
    embedding_input: Option<Vec<f32>>,
    /// `image` or `text`: what is to be found.
    modality: Option<String>,
    num_images: Option<i64>,
    num_result_ids: Option<i64>,
    /// Of ours: the side to search, where the modality does not tell.
    side: Option<String>,
    /// Of ours: the side that the query is of, where its kind does not tell.
    query_side: Option<String>,
}

impl Asked {
    fn query(&self) -> Result<Query, Refused> {
        let refuse = |what: &str| Refused(StatusCode::BAD_REQUEST, what.to_owned());
        if let Some(text) = self.text.as_deref().filter(|text| !text.is_empty()) {
            if text.len() > LONGEST_TEXT {
                return Err(refuse("the text is too long"));
            }
            return Ok(Query::Text(text.to_owned()));
        }
        if let Some(image) = &self.image {
            let bytes = STANDARD.decode(image).map_err(|_| refuse("the image is not base64"))?;
            return Ok(Query::Image(bytes));
        }
        if let Some(values) = &self.embedding_input {
            if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
                return Err(refuse("the embedding has no numbers, or some that are not finite"));
            }
            let rows = Tensor::from_slice(values, (1, values.len()), &Device::Cpu);
            return rows.map(Query::Rows).map_err(|error| refuse(&error.to_string()));
        }
        if self.image_url.is_some() {
            return Err(refuse("addresses are not fetched: send the image itself"));
        }
        Err(refuse("expected a text, an image or an embedding_input"))
    }

    /// The side that is searched, for a query of side `asked`.
    fn among(&self, finder: &Finder, asked: usize) -> usize {
        if let Some(side) = known_side(self.side.as_deref()) {
            return side;
        }
        let has_pictures = [0, 1].map(|side| !finder.items(side).pictures.is_empty());
        match (self.modality.as_deref(), has_pictures) {
            // Where one side has pictures and the other has none, the modality names a side.
            (Some("image"), [true, false]) | (Some("text"), [false, true]) => 0,
            (Some("image"), [false, true]) | (Some("text"), [true, false]) => 1,
            _ => 1 - asked,
        }
    }
}

/// The answer to `/knn-service`: a list of items with `id`, `similarity`, `caption` and `url`.
pub(super) fn answer(finder: &Finder, asked: &Asked, address: &str) -> Result<Value, Refused> {
    let query = asked.query()?;
    let wrong = |error: crate::error::Error| Refused(StatusCode::BAD_REQUEST, error.to_string());
    let side = finder.side_of(&query, known_side(asked.query_side.as_deref())).map_err(wrong)?;
    let among = asked.among(finder, side);
    // clip-retrieval's front end asks for more ids than it shows at first, and for the others' metadata as it goes on.
    let wanted = asked.num_result_ids.or(asked.num_images).unwrap_or(40);
    let count = usize::try_from(wanted).unwrap_or(0).min(MOST_HITS);
    let found = finder.find(&query, side, among, count).map_err(wrong)?;
    let hit = |hit: &himacl::search::Hit| {
        let mut facts = metadata(finder, among, hit.item, address);
        facts["id"] = hit.item.into();
        // Callers read it of every hit.
        if facts["caption"].is_null() {
            facts["caption"] = "".into();
        }
        facts["similarity"] = hit.score.into();
        facts["side"] = SIDES[among].into();
        facts
    };
    Ok(found.first().map_or_else(Vec::new, |answer| answer.hits.iter().map(hit).collect()).into())
}

fn known_side(name: Option<&str>) -> Option<usize> {
    SIDES.iter().position(|side| Some(*side) == name)
}

/// What is known of an item.
pub(super) fn metadata(finder: &Finder, side: usize, item: u32, address: &str) -> Value {
    let items = finder.items(side);
    let mut facts = json!({});
    if let Some(text) = items.texts.get(item as usize).and_then(Option::as_ref) {
        facts["caption"] = text.as_str().into();
    }
    if items.pictures.get(item as usize).is_some_and(Option::is_some) {
        facts["url"] = format!("http://{address}/picture/{}/{item}", SIDES[side]).into();
    }
    facts
}
