//! The tables of ARCHITECTURE.md hold: crates use only lower crates, modules only lower modules, and no modules beside
//! one another use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in backticks in the first column of the table under a heading, from top to bottom and left to right.
fn table(heading: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("ARCHITECTURE.md has no section `{heading}`"));
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The Rust files of a crate's library by the path of their module.
fn modules(name: &str) -> BTreeMap<Vec<String>, String> {
    let source = root().join("crates").join(name).join("src");
    let (mut found, mut folders) = (BTreeMap::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !["main.rs", "tests.rs"].contains(&file) {
                let inside = path.strip_prefix(&source).unwrap().with_extension("");
                let mut parts: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                if ["mod", "lib"].contains(&parts.last().unwrap().as_str()) {
                    parts.pop();
                }
                found.insert(parts, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 1, "no modules in {}", source.display());
    found
}

/// A file without comments and without its tests.
fn code(text: &str) -> String {
    let tests =
        text.split("#[cfg(test)]\n").skip(1).find(|rest| rest.lines().next().unwrap_or_default().ends_with('{'));
    let text = tests.map_or(text, |tests| &text[..text.len() - tests.len()]);
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Every path in a text that begins with `crate::` or `super::`, groups in braces written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            let goes_on = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if !goes_on {
                expand(&text[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Adds what the path at the start of `text` names, below `prefix`; returns what follows it.
fn expand<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        text = inside;
        loop {
            text = expand(text, prefix, found).trim_start();
            match text.strip_prefix(',') {
                Some(rest) if rest.trim_start().starts_with('}') => return &rest.trim_start()[1..],
                Some(rest) => text = rest,
                None => return text.strip_prefix('}').unwrap_or(""),
            }
        }
    }
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    let path = [prefix, &[text[..length].to_owned()]].concat();
    let rest = &text[length..];
    if let Some(below) = rest.strip_prefix("::") {
        return expand(below, &path, found);
    }
    found.push(path);
    // `name as other`
    let renamed =
        rest.strip_prefix(" as ").map(|rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    renamed.unwrap_or(rest)
}

/// For each folder of modules, which of the modules in it use which others.
type Uses = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

fn uses(modules: &BTreeMap<Vec<String>, String>) -> Uses {
    let mut uses = Uses::new();
    for (user, text) in modules {
        for path in paths(text) {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let base = match path[0].as_str() {
                "crate" => &[][..],
                // A module inside this file.
                _ if ups > user.len() => continue,
                _ => &user[..user.len() - ups],
            };
            let mut used = [base, &path[ups.max(1)..]].concat();
            while !used.is_empty() && !modules.contains_key(&used) {
                used.pop();
            }
            let common = user.iter().zip(&used).take_while(|(a, b)| a == b).count();
            if common < user.len() && common < used.len() {
                let beside = uses.entry(user[..common].to_vec()).or_default();
                beside.entry(user[common].clone()).or_default().insert(used[common].clone());
            }
        }
    }
    uses
}

/// A module that uses itself through others, with the way there.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(graph: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().expect("a way begins somewhere").clone();
        for next in graph.get(&here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|passed| passed == next) {
                way.drain(..start);
                way.push(next.clone());
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if walk(graph, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(graph, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn crates_use_only_lower_crates() {
    let order = table("Crates, lowest first");
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let mut seen = BTreeSet::new();
    for member in members.iter().map(|member| member.as_str().unwrap()) {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&text).unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let place = |name: &str| order.iter().position(|known| known == name);
        let own = place(&name).unwrap_or_else(|| panic!("ARCHITECTURE.md does not list the crate `{name}`"));
        for used in manifest["dependencies"].as_table().unwrap().keys() {
            if let Some(lower) = place(used) {
                assert!(lower < own, "{name} uses {used}, which ARCHITECTURE.md has above it");
            }
        }
        seen.insert(name);
    }
    let listed: BTreeSet<String> = order.into_iter().collect();
    assert_eq!(listed, seen, "the crates that ARCHITECTURE.md lists, and those of the workspace");
}

#[test]
fn modules_use_only_lower_modules() {
    for name in ["himacl-data", "hiref-external", "himacl-nn", "himacl-encode", "himacl", "himacl-cli"] {
        let order = table(&format!("{name}, lowest layer first"));
        let modules = modules(name);
        let place = |module: &str| {
            let place = order.iter().position(|known| known == module);
            place.unwrap_or_else(|| panic!("ARCHITECTURE.md does not list the module `{module}` of {name}"))
        };
        for module in modules.keys().filter_map(|path| path.first()) {
            place(module);
        }
        for (user, used) in uses(&modules).remove(&Vec::new()).unwrap_or_default() {
            for used in used {
                assert!(
                    place(&used) < place(&user),
                    "{name}: `{user}` uses `{used}`, which ARCHITECTURE.md has above it"
                );
            }
        }
    }
}

#[test]
fn modules_beside_one_another_have_no_circles() {
    for name in ["himacl-data", "himacl-nn", "himacl-encode", "himacl"] {
        for (folder, graph) in uses(&modules(name)) {
            if let Some(way) = circle(&graph) {
                panic!("{name}, in `{}`: {}", folder.join("::"), way.join(" -> "));
            }
        }
    }
}

#[test]
fn the_reader_of_imports_sees_groups_names_and_circles() {
    let text = code(
        "use super::{a, b::{C, d as e},};\nuse crate::f; // crate::not\n#[cfg(test)]\nmod tests {\n use crate::g;\n}\n",
    );
    let found: BTreeSet<String> = paths(&text).iter().map(|path| path.join("::")).collect();
    let expected = ["super::a", "super::b::C", "super::b::d", "crate::f"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (a, b) in edges {
            graph.entry((*a).to_owned()).or_default().insert((*b).to_owned());
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("a", "c"), ("b", "c")])), None);
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap().join(" "), "b c b");
}
