//! The web server of `himacl serve`: the page, the JSON call of clip-retrieval, pictures by row.
//!
//! Nothing that a request says becomes a path: items are named by side and row. Bodies, connections and the work in
//! hand are bounded, so that memory is, too.

mod knn;
mod routes;

pub(crate) use routes::{Service, serve};
