//! What is served under which path.

use super::answers;
use super::body;
use super::gate;
use super::job::{Queue, Update, Work};
use super::metrics::Metrics;
use super::refusal::{Refusal, json};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Response};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use webtern::engine::Frontend;
use webtern::openai::{
    ApiError, ApplyTemplate, Choose, Detokenize, Endpoint, Generate, Moment, Prepared, Service, Tokenize,
};
use webtern::tokenizer::EncodeOptions;

/// How long clients may take.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    /// For the headers of a request, for its body, and between requests.
    pub(super) request: Duration,
    /// Without taking anything of an answer.
    pub(super) reader: Duration,
}

/// What handlers share.
pub(super) struct App {
    pub(super) service: Service,
    pub(super) frontend: Arc<Frontend>,
    pub(super) queue: Queue,
    pub(super) metrics: Arc<Metrics>,
    pub(super) api_key: Option<String>,
    /// The one origin whose pages may call.
    pub(super) cors: Option<String>,
    pub(super) timeouts: Timeouts,
    /// Whether the server listens on a loopback address.
    pub(super) loopback: bool,
    /// New requests are refused.
    pub(super) stopping: AtomicBool,
    /// Cloned for every answer on its way.
    pub(super) answering: Arc<()>,
}

type Answered = Result<Response<Body>, Refusal>;
type Shared = State<Arc<App>>;

impl App {
    pub(super) fn random() -> u64 {
        // Every `RandomState` has new keys.
        RandomState::new().hash_one(0)
    }

    fn moment() -> Moment {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // Seeds that survive a trip through JavaScript can be asked for again.
        Moment { id: Self::random(), created, seed: Self::random() >> 11 }
    }

    fn check_running(&self) -> Result<(), Refusal> {
        if self.stopping.load(Ordering::Relaxed) { Err(Refusal::stopping()) } else { Ok(()) }
    }
}

/// All routes, behind the gate.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(|app: Shared, request| generate(app, Endpoint::Chat, request)))
        .route("/v1/completions", post(|app: Shared, request| generate(app, Endpoint::Completions, request)))
        .route("/v1/responses", post(|app: Shared, request| generate(app, Endpoint::Responses, request)))
        .route("/v1/responses/{id}", get(stored).delete(stored))
        .route("/v1/choose", post(choose))
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/apply-template", post(apply_template))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate::pass))
        .with_state(app)
}

async fn wrong_method(request: Request<Body>) -> Refusal {
    ApiError::wrong_method(request.method().as_str(), request.uri().path()).into()
}

async fn unknown(request: Request<Body>) -> Refusal {
    ApiError::unknown_path(request.uri().path()).into()
}

async fn generate(State(app): Shared, endpoint: Endpoint, request: Request<Body>) -> Answered {
    app.check_running()?;
    let body = body::read(request, app.timeouts.request).await?;
    app.check_running()?;
    let moment = App::moment();
    let mut generate = Generate::read(endpoint, &body, &app.service, moment)?;
    drop(body);
    let frontend = Arc::clone(&app.frontend);
    let (prepared, answer) = apart(move || Ok((generate.prepare(&frontend)?, generate.answer))).await?;
    let Prepared { prompts, runs } = prepared;
    answers::send(&app, moment.id, Work::Generate { prompts, runs }, answer).await
}

async fn choose(State(app): Shared, request: Request<Body>) -> Answered {
    app.check_running()?;
    let body = body::read(request, app.timeouts.request).await?;
    let choose = Choose::read(&body, &app.service)?;
    let frontend = Arc::clone(&app.frontend);
    let by_length = choose.by_length;
    let candidates = apart(move || frontend.candidates(&choose.prompt, &choose.options).map_err(Refusal::from)).await?;
    let mut updates = app.queue.submit(App::random(), Work::Choose { candidates, by_length })?;
    let _answering = Arc::clone(&app.answering);
    while let Some(update) = updates.recv().await {
        match update {
            Update::Started | Update::Events { .. } => {}
            Update::Chosen(probabilities) => return Ok(json(&Choose::answer(&app.service, &probabilities))),
            Update::Failed(error) => return Err(error.into()),
            Update::Stopping => return Err(Refusal::stopping()),
        }
    }
    Err(answers::crashed().into())
}

async fn models(State(app): Shared) -> Answered {
    Ok(json(&app.service.list()))
}

async fn model(State(app): Shared, Path(id): Path<String>) -> Answered {
    Ok(json(&app.service.card(&id)?))
}

/// Responses are not stored.
async fn stored(Path(id): Path<String>) -> Refusal {
    Refusal::new(404, "response_not_found", format!("there is no response `{id}`: webtern stores none"))
}

async fn tokenize(State(app): Shared, request: Request<Body>) -> Answered {
    let Tokenize { content, add_special, parse_special } =
        Tokenize::read(&body::read(request, app.timeouts.request).await?)?;
    let frontend = Arc::clone(&app.frontend);
    let options = EncodeOptions { add_special, parse_special };
    let tokens = apart(move || frontend.tokenizer().encode(&content, options).map_err(Refusal::from)).await?;
    Ok(json(&Tokenize::answer(&tokens)))
}

async fn detokenize(State(app): Shared, request: Request<Body>) -> Answered {
    let Detokenize { tokens } = Detokenize::read(&body::read(request, app.timeouts.request).await?)?;
    Ok(json(&Detokenize::answer(&app.frontend.tokenizer().decode(&tokens, false)?)))
}

async fn apply_template(State(app): Shared, request: Request<Body>) -> Answered {
    let ApplyTemplate { messages, args, add_generation_prompt } =
        ApplyTemplate::read(&body::read(request, app.timeouts.request).await?)?;
    let frontend = Arc::clone(&app.frontend);
    let render = move || Ok(frontend.apply_chat_template(&messages, &args, add_generation_prompt)?);
    Ok(json(&ApplyTemplate::answer(&apart(render).await?)))
}

async fn health(State(app): Shared) -> Answered {
    app.check_running()?;
    Ok(json(&serde_json::json!({ "status": "ok" })))
}

async fn metrics(State(app): Shared) -> Response<Body> {
    let text = app.metrics.text(app.queue.running(), app.queue.waiting());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Runs work that takes long away from the threads of the connections.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(answers::crashed().into()))
}
