//! The modules of a Sentence-Transformers folder, in the order in which a text goes through them.

use crate::encoder::config::Config;
use crate::error::EncoderError;
use crate::hub::{ROUTERS, router_files};
use serde_json::Value;
use std::path::Path;

/// A module: the name of its class, and the folder of its files below the encoder's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) kind: String,
    pub(super) path: String,
}

/// The modules that modules.json names, those of one route in the place of a router; `None` where there is no such file.
pub(super) fn modules(folder: &Path, route: Option<&str>) -> Result<Option<Vec<Module>>, EncoderError> {
    let Some(file) = Config::read_if_there(&folder.join("modules.json"))? else {
        return route.map_or(Ok(None), |route| Err(no_route(folder, route, &[])));
    };
    let list = file.value().as_array().ok_or_else(|| file.wrong("expected a list of modules"))?;
    let mut modules = Vec::new();
    let mut routed = false;
    for module in list {
        let field = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, path) = (class(&file, field("type"))?, below("", field("path")));
        if ROUTERS.contains(&kind.as_str()) {
            routed = true;
            modules.extend(routed_modules(folder, &path, route)?);
        } else {
            modules.push(Module { kind, path });
        }
    }
    match route {
        Some(route) if !routed => Err(no_route(folder, route, &[])),
        _ => Ok(Some(modules)),
    }
}

/// The name of a class of Sentence-Transformers; a class of another package computes something else, whatever its name.
fn class(file: &Config, kind: &str) -> Result<String, EncoderError> {
    let name = kind.rsplit('.').next().unwrap_or_default();
    if kind.starts_with("sentence_transformers.") && !name.is_empty() {
        return Ok(name.to_owned());
    }
    Err(file.wrong(format!("a module of type `{kind}` is not known")))
}

/// A path below another one, both of which may be nothing.
fn below(path: &str, name: &str) -> String {
    let name = name.trim_matches('/');
    match (path, name) {
        (_, "" | ".") => path.to_owned(),
        ("", name) => name.to_owned(),
        (path, name) => format!("{path}/{name}"),
    }
}

/// The modules of one route of a router.
fn routed_modules(folder: &Path, path: &str, route: Option<&str>) -> Result<Vec<Module>, EncoderError> {
    let names = router_files(path);
    let name = names.iter().find(|name| folder.join(name).is_file()).unwrap_or(&names[0]);
    let config = Config::read(&folder.join(name))?;
    let (types, structure, parameters) = (config.at("types"), config.at("structure"), config.at("parameters"));
    let routes: Vec<&str> =
        structure.value().as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let chosen = if let Some(route) = route {
        mapped(&parameters, &routes, Some(route)).ok_or_else(|| no_route(folder, route, &routes))?
    } else {
        let default = mapped(&parameters, &routes, None).or_else(|| parameters.get("default_route")?.as_str());
        default.ok_or_else(|| {
            let known = routes.join(", ");
            config.wrong(format!("there is no `default_route`, one of the routes has to be chosen: {known}"))
        })?
    };
    let ids = structure.get(chosen).and_then(Value::as_array);
    let ids = ids.ok_or_else(|| config.wrong(format!("there is no route `{chosen}` in `structure`")))?;
    let module = |id: &Value| {
        let id = id.as_str().unwrap_or_default();
        Ok(Module { kind: class(&config, types.text(id, ""))?, path: below(path, id) })
    };
    ids.iter().map(module).collect()
}

/// The route of a text: by `route_mappings` of task and kind of input, then by the task's own name, then by the input's.
fn mapped<'a>(parameters: &'a Config, routes: &[&'a str], task: Option<&str>) -> Option<&'a str> {
    let mappings = parameters.get("route_mappings").and_then(Value::as_object);
    let task_key = task.map_or_else(|| "None".to_owned(), |task| format!("'{task}'"));
    let keys = [(task_key.as_str(), "'text'"), (&task_key, "None"), ("None", "'text'"), ("None", "None")];
    let by_key = |(task, input): (&str, &str)| mappings?.get(&format!("({task}, {input})"))?.as_str();
    let named = |name: &str| routes.iter().copied().find(|route| *route == name);
    keys.into_iter().find_map(by_key).or_else(|| match task {
        Some(task) => named(task),
        None => named("text"),
    })
}

fn no_route(folder: &Path, route: &str, known: &[&str]) -> EncoderError {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    EncoderError::UnknownRoute { folder: folder.to_path_buf(), route: route.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn folder(parameters: &Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str| format!("sentence_transformers.models.{name}");
        let list =
            json!([{ "type": kind("Router"), "path": "" }, { "type": kind("Normalize"), "path": "1_Normalize" }]);
        fs::write(folder.path().join("modules.json"), list.to_string()).unwrap();
        let router = json!({
            "types": { "query_0_StaticEmbedding": kind("StaticEmbedding"), "document_0_Transformer": kind("Transformer"),
                "document_1_Pooling": kind("Pooling") },
            "structure": { "query": ["query_0_StaticEmbedding"], "document": ["document_0_Transformer", "document_1_Pooling"] },
            "parameters": parameters,
        });
        fs::write(folder.path().join("router_config.json"), router.to_string()).unwrap();
        folder
    }

    #[test]
    fn a_route_takes_the_place_of_its_router() {
        let paths = |parameters: &Value, route: Option<&str>| -> Result<Vec<String>, EncoderError> {
            let found = modules(folder(parameters).path(), route)?;
            Ok(found.unwrap().into_iter().map(|module| module.path).collect())
        };
        let (query, document) = (
            ["query_0_StaticEmbedding", "1_Normalize"],
            ["document_0_Transformer", "document_1_Pooling", "1_Normalize"],
        );
        let with_default = json!({ "default_route": "document" });
        assert_eq!(paths(&with_default, None).unwrap(), document);
        assert_eq!(paths(&with_default, Some("query")).unwrap(), query);
        let error = paths(&json!({}), None).unwrap_err().to_string();
        assert!(error.contains("no `default_route`") && error.contains("document, query"), "{error}");
        let error = paths(&json!({}), Some("passage")).unwrap_err().to_string();
        assert!(error.contains("no route `passage`, it has: document, query"), "{error}");
        // As Python writes tuples.
        let mappings = json!({ "route_mappings": { "('search', 'text')": "query", "(None, None)": "document" } });
        assert_eq!(paths(&mappings, Some("search")).unwrap(), query);
        assert_eq!(paths(&mappings, None).unwrap(), document);
    }

    #[test]
    fn a_route_without_a_router_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(modules(folder.path(), None).unwrap(), None);
        assert!(modules(folder.path(), Some("query")).is_err());
        let list = json!([{ "type": "sentence_transformers.models.StaticEmbedding", "path": "." }]);
        fs::write(folder.path().join("modules.json"), list.to_string()).unwrap();
        let module = Module { kind: "StaticEmbedding".to_owned(), path: String::new() };
        assert_eq!(modules(folder.path(), None).unwrap(), Some(vec![module]));
        assert!(modules(folder.path(), Some("query")).unwrap_err().to_string().contains("it has: none"));
    }
}
