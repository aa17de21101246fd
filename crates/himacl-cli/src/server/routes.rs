//! Which address leads where, and what is refused.

use super::knn::{Asked, SIDES, answer, metadata};
use crate::error::Error;
use crate::finder::Finder;
use crate::interrupt;
use crate::pictures::thumbnail_file;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Bytes of a request's body, at most.
const MOST_BYTES: usize = 8 << 20;
/// Requests whose bodies are read and which are answered at a time: what they hold is bounded by it.
const MOST_REQUESTS: usize = 64;
/// How long a request waits for its turn before it is told that there is too much to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a request may take from then on, its body included.
const LONGEST: Duration = Duration::from_mins(1);
/// Pixels of a picture's side.
const PICTURE_SIDE: u32 = 256;
/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(100);

/// What is served.
pub(crate) struct Service {
    /// The page.
    pub(crate) page: String,
    /// What answers searches.
    pub(crate) finder: Finder,
    /// The name by which clip-retrieval's client calls this index.
    pub(crate) name: String,
    /// Queries that are worked on at a time.
    pub(crate) workers: usize,
}

/// Shared by all requests.
struct Shared {
    service: Service,
    address: SocketAddr,
    /// Of requests, before their bodies are read.
    requests: Semaphore,
    /// Of work.
    turns: Semaphore,
}

/// A request that is refused, and why.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        json_response(self.0, &json!({ "message": self.1 }))
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Serves until Ctrl-C; calls `ready` with the address once it listens.
///
/// # Errors
/// [`Error::Serve`].
pub(crate) fn serve(service: Service, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<(), Error> {
    let wrong = |error: std::io::Error| Error::Serve { address, reason: error.to_string() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(service.workers.max(2))
        .enable_all()
        .build()
        .map_err(wrong)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        ready(address);
        let turns = Semaphore::new(service.workers.max(1));
        let shared = Arc::new(Shared { service, address, requests: Semaphore::new(MOST_REQUESTS), turns });
        let stop = async {
            while !interrupt::requested() {
                tokio::time::sleep(TICK).await;
            }
        };
        axum::serve(listener, routes(shared)).with_graceful_shutdown(stop).await.map_err(wrong)
    })
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/knn-service", post(knn))
        .route("/indices-list", get(indices))
        .route("/metadata", post(metadata_of))
        .route("/picture/{side}/{row}", get(picture))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Refuses what a page of another place may have sent, and forbids the browser to guess and to embed.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.address.ip().is_loopback() && !is_of_this_machine(request.headers()) {
        let what = "this address is served to this machine alone".to_owned();
        return Refused(StatusCode::FORBIDDEN, what).into_response();
    }
    let turn = tokio::time::timeout(PATIENCE, shared.requests.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return busy().into_response() };
    let Ok(mut response) = tokio::time::timeout(LONGEST, next.run(request)).await else {
        return Refused(StatusCode::REQUEST_TIMEOUT, "the request took too long".to_owned()).into_response();
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Whether a request names this machine, as those of another site that was pointed here do not, and comes of no other site.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let named = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let host = text.split_once("://").map_or(text, |(_, host)| host);
        let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    };
    headers.get(header::HOST).is_some_and(named) && headers.get(header::ORIGIN).is_none_or(named)
}

async fn page(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], shared.service.page.clone()).into_response()
}

async fn indices(State(shared): State<Arc<Shared>>) -> Response {
    json_response(StatusCode::OK, &json!([shared.service.name]))
}

async fn knn(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Refused> {
    // clip-retrieval's client does not say that its body is JSON.
    let asked: Asked = parsed(&body)?;
    let of = shared.clone();
    let found = work(&shared, move || answer(&of.service.finder, &asked, &of.address.to_string())).await??;
    Ok(json_response(StatusCode::OK, &found))
}

/// The body of `/metadata`.
#[derive(serde::Deserialize)]
struct Ids {
    ids: Vec<u32>,
    side: Option<String>,
}

async fn metadata_of(State(shared): State<Arc<Shared>>, body: Bytes) -> Result<Response, Refused> {
    let Ids { ids, side } = parsed(&body)?;
    let side = side.map_or(Ok(1), |side| side_of(&side))?;
    let address = shared.address.to_string();
    let finder = &shared.service.finder;
    if let Some(id) = ids.iter().find(|&&id| id as usize >= finder.len(side)) {
        return Err(Refused(StatusCode::NOT_FOUND, format!("there is no item {id}")));
    }
    let all: Vec<Value> =
        ids.iter().map(|&id| json!({ "id": id, "metadata": metadata(finder, side, id, &address) })).collect();
    Ok(json_response(StatusCode::OK, &all.into()))
}

async fn picture(
    State(shared): State<Arc<Shared>>,
    Path((side, row)): Path<(String, u32)>,
) -> Result<Response, Refused> {
    let missing = || Refused(StatusCode::NOT_FOUND, "there is no such picture".to_owned());
    let pictures = &shared.service.finder.items(side_of(&side)?).pictures;
    let path = pictures.get(row as usize).cloned().flatten().ok_or_else(missing)?;
    let file = work(&shared, move || thumbnail_file(&path, PICTURE_SIDE)).await?.ok_or_else(missing)?;
    let headers = [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "max-age=3600")];
    Ok((headers, file).into_response())
}

fn side_of(name: &str) -> Result<usize, Refused> {
    let missing = || Refused(StatusCode::NOT_FOUND, "there is no such side".to_owned());
    SIDES.iter().position(|side| *side == name).ok_or_else(missing)
}

fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

fn busy() -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, "too much to do: try again".to_owned())
}

/// Does work beside the server's own threads, so much of it at a time.
async fn work<T: Send + 'static>(
    shared: &Arc<Shared>,
    action: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let turn = tokio::time::timeout(PATIENCE, shared.turns.acquire()).await;
    let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    let failed = |_| Refused(StatusCode::INTERNAL_SERVER_ERROR, "the work failed".to_owned());
    tokio::task::spawn_blocking(action).await.map_err(failed)
}
