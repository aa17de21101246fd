//! The page: one HTML file that needs nothing else.

use crate::error::Error;
use crate::pictures::thumbnail_file;
use crate::report::Story;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::Path;

/// How every page begins; by it a page is known that may be replaced.
const START: &str = "<!doctype html>\n<html lang=\"en\" data-made-by=\"himacl\">";

/// The scripts, in the order in which they run.
const SCRIPTS: [&str; 13] = [
    include_str!("../vendor/twgl/twgl.min.js"),
    include_str!("../vendor/uplot/uPlot.iife.min.js"),
    include_str!("../templates/page/data.js"),
    include_str!("../templates/page/items.js"),
    include_str!("../templates/page/colours.js"),
    include_str!("../templates/page/map.js"),
    include_str!("../templates/page/pairs.js"),
    include_str!("../templates/page/pair.js"),
    include_str!("../templates/page/path.js"),
    include_str!("../templates/page/tree.js"),
    include_str!("../templates/page/report.js"),
    include_str!("../templates/page/search.js"),
    include_str!("../templates/page/main.js"),
];
/// Pixels of the side of a hit's picture.
const HIT_SIDE: u32 = 160;
const STYLES: [&str; 2] = [include_str!("../vendor/uplot/uPlot.min.css"), include_str!("../templates/page/page.css")];

/// A page with what it shows: a run's story, and the pairing if it was worked out.
///
/// Whatever the data hold is text: the template escapes it, and the scripts put it into text nodes alone. Beyond that
/// the page forbids itself to load anything, and to run any script but its own.
///
/// # Errors
/// Never but for a template that is broken.
pub(crate) fn render(story: &Story, scene: &impl Serialize) -> Result<String, Error> {
    render_for(story, scene, false)
}

/// The same for a server that answers searches, which the page may then ask, and no other.
///
/// # Errors
/// As [`render`].
pub(crate) fn render_served(story: &Story, scene: &impl Serialize) -> Result<String, Error> {
    render_for(story, scene, true)
}

fn render_for(story: &Story, scene: &impl Serialize, served: bool) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", include_str!("../templates/page/page.html")).map_err(Error::Page)?;
    let hashes = SCRIPTS.map(|script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))));
    let context = context! {
        start => START,
        served,
        story => Value::from(Serde(story)),
        scene => Value::from(Serde(scene)),
        scripts => Value::from(Serde(SCRIPTS)),
        styles => Value::from(Serde(STYLES)),
        script_hashes => hashes.join(" "),
        version => env!("CARGO_PKG_VERSION"),
    };
    environment.get_template("page").and_then(|page| page.render(context)).map_err(Error::Page)
}

/// What searches found, as a page with the pictures in it.
///
/// # Errors
/// Never but for a template that is broken.
pub(crate) fn render_hits(found: &[serde_json::Value]) -> Result<String, Error> {
    let mut found = found.to_vec();
    for hit in found.iter_mut().filter_map(|answer| answer["hits"].as_array_mut()).flatten() {
        let picture = hit["image"].as_str().and_then(|path| thumbnail_file(Path::new(path), HIT_SIDE));
        if let Some(picture) = picture {
            hit["picture"] = STANDARD.encode(picture).into();
        }
    }
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("hits", include_str!("../templates/page/hits.html")).map_err(Error::Page)?;
    let context = context! { start => START, style => STYLES[1], found => Value::from(Serde(found)) };
    environment.get_template("hits").and_then(|page| page.render(context)).map_err(Error::Page)
}

/// Refuses a file that is there and is no page: it would be replaced.
///
/// # Errors
/// [`Error::NotAReport`].
pub(crate) fn check_output(path: &Path) -> Result<(), Error> {
    if path.exists() && !is_page(path) { Err(Error::NotAReport(path.to_path_buf())) } else { Ok(()) }
}

/// Whether a file is a page, and may be replaced by another.
fn is_page(path: &Path) -> bool {
    let mut start = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(START.len() as u64).read_to_string(&mut start));
    read.is_ok() && start == START
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Curves;

    #[test]
    fn whatever_a_run_holds_is_text() {
        let hostile = "<script>alert(1)</script>\"'&</pre><img src=x onerror=alert(2)>";
        let story = Story {
            title: hostile.to_owned(),
            lead: vec![hostile.to_owned()],
            warnings: vec![hostile.to_owned()],
            settings: hostile.to_owned(),
            curves: vec![Curves { figure: hostile.to_owned(), lines: Vec::new(), baselines: Vec::new() }],
            ..Story::default()
        };
        let html = render(&story, &()).unwrap();
        assert!(!html.contains("<script>alert") && !html.contains("<img"), "a text became markup");
        assert!(html.matches("&lt;script&gt;alert(1)").count() >= 4);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &html).unwrap();
        assert!(is_page(file.path()));
        fs::write(file.path(), "<!doctype html>").unwrap();
        assert!(!is_page(file.path()));
    }

    #[test]
    fn scripts_cannot_end_early() {
        assert!(SCRIPTS.iter().all(|script| !script.contains("</script") && !script.contains("<!--")));
    }
}
