//! What a program says before the first batch.

use serde::{Deserialize, Serialize};

/// Characters of a line that are shown.
const SHOWN: usize = 300;
/// The version of the conversation.
const VERSION: u64 = 1;
/// Coordinates that an embedding may have.
const MOST_COORDINATES: usize = 1 << 20;

/// What a program says of itself before the first batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The version of the conversation that it speaks.
    #[serde(rename = "himacl_encoder", skip_serializing)]
    speaks: u64,
    /// What it calls itself, or the model that it runs.
    pub name: String,
    /// Which version of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Coordinates of a picture's embedding, where it takes pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_dimension: Option<usize>,
    /// Coordinates of a text's embedding, where it takes texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_dimension: Option<usize>,
}

impl Greeting {
    /// Reads the first line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let strange = |why: String| format!("{why}: `{}`", shortened(line));
        // A later version may have other fields besides.
        let value: serde_json::Value = serde_json::from_str(line)
            .map_err(|_| strange("wrote to its standard output what is no greeting in JSON".to_owned()))?;
        match value.get("himacl_encoder").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => {
                return Err(strange(format!("speaks version {other} of the protocol, expected {VERSION}")));
            }
            None => return Err(strange(format!("greets without `\"himacl_encoder\": {VERSION}`"))),
        }
        let greeting: Self = serde_json::from_value(value)
            .map_err(|error| strange(format!("greets in a way that is not read ({error})")))?;
        let dimensions = [greeting.image_dimension, greeting.text_dimension];
        if dimensions.iter().all(Option::is_none) {
            return Err(strange("greets with neither `image_dimension` nor `text_dimension`".to_owned()));
        }
        if dimensions.iter().flatten().any(|dimension| !(1..=MOST_COORDINATES).contains(dimension)) {
            return Err(strange(format!("greets with a dimension outside of 1 to {MOST_COORDINATES}")));
        }
        Ok(greeting)
    }
}

/// The beginning of what a program says, without control characters.
pub(super) fn shortened(text: &str) -> String {
    let plain: String = text.chars().filter(|character| !character.is_control()).take(SHOWN).collect();
    if text.chars().count() > SHOWN { plain + "..." } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_and_what_is_none() {
        let line = r#"{"himacl_encoder": 1, "name": "m", "version": "2", "text_dimension": 3, "later": []}"#;
        let greeting = Greeting::parse(line).unwrap();
        assert_eq!((greeting.text_dimension, greeting.image_dimension), (Some(3), None));
        assert_eq!(toml::to_string(&greeting).unwrap(), "name = \"m\"\nversion = \"2\"\ntext_dimension = 3\n");
        for (line, why) in [
            ("Loading weights: 3%\u{7}", "no greeting in JSON: `Loading weights: 3%`"),
            ("{}", "without `\"himacl_encoder\": 1`"),
            (r#"{"himacl_encoder": 2}"#, "speaks version 2 of the protocol, expected 1"),
            (r#"{"himacl_encoder": 1, "text_dimension": 3}"#, "missing field `name`"),
            (r#"{"himacl_encoder": 1, "name": "m"}"#, "neither `image_dimension` nor `text_dimension`"),
            (r#"{"himacl_encoder": 1, "name": "m", "text_dimension": 0}"#, "a dimension outside of 1 to"),
        ] {
            let error = Greeting::parse(line).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
