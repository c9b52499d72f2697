//! A server that speaks OpenAI's protocol, asked case by case.
//!
//! Any of several replicas may answer any case: what they compute does not depend on what they were
//! asked before.

use super::results::Answer;
use super::score::{Case, Setting, Work};
use serde_json::{Map, Value, json};
use std::thread::sleep;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use webtern::decode::Mode;
use webtern::{Error, ErrorCode, Result};

/// How often a request is sent that a server did not answer, or told to come again.
const ATTEMPTS: u32 = 8;
/// How long to wait after the first attempt; twice as long after each other.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What a request without one has here and would be drawn at random there.
const SEED: u64 = 0;

/// See the module documentation.
pub(super) struct Endpoint {
    agent: Agent,
    /// Without `/v1` and slashes at the end.
    url: String,
    api_key: Option<String>,
    /// The id of the model.
    pub(super) model: String,
}

impl Endpoint {
    /// Asks a server for its model.
    ///
    /// # Errors
    ///
    /// `network` when it does not answer, `http` when it refuses.
    pub(super) fn connect(url: &str, api_key: Option<&str>) -> Result<Self> {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("webtern/", env!("CARGO_PKG_VERSION")));
        let url = url.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches('/').to_owned();
        let api_key = api_key.filter(|key| !key.is_empty()).map(|key| format!("Bearer {key}"));
        let mut endpoint = Self { agent: config.build().into(), url, api_key, model: String::new() };
        let models = endpoint.send("/v1/models", None)?;
        let id = models["data"][0]["id"].as_str();
        endpoint.model = id.ok_or_else(|| endpoint.failed("/v1/models", "it lists no model"))?.to_owned();
        Ok(endpoint)
    }

    /// Asks a case.
    ///
    /// # Errors
    ///
    /// `bad-option` for what the protocol has no place for, `network` and `http` as
    /// [`Endpoint::connect`].
    pub(super) fn answer(&self, case: &Case, setting: &Setting) -> Result<Answer> {
        let (path, mut body) = request(&case.fields)?;
        body.insert("model".into(), self.model.clone().into());
        // Without a mode, the server's.
        if setting.mode != Mode::Auto {
            body.insert("mode".into(), json!(setting.mode));
        }
        body.insert("acceptance".into(), json!(setting.acceptance));
        body.insert("threshold".into(), json!(setting.threshold));
        body.insert("dual_cache".into(), setting.dual_cache.into());
        let answer = self.send(path, Some(&Value::Object(body).to_string()))?;
        let choice = &answer["choices"][0];
        let text = choice["message"]["content"].as_str().or_else(|| choice["text"].as_str());
        let text = text.ok_or_else(|| self.failed(path, "the answer has no text"))?.to_owned();
        let timings = &answer["timings"];
        let count = |value: &Value| value.as_u64().unwrap_or_default() as usize;
        let work = Work {
            new_tokens: count(&answer["usage"]["completion_tokens"]),
            passes: count(&timings["passes"]),
            blocks: count(&timings["blocks"]),
            commits: count(&timings["commits"]),
            evaluated_rows: count(&timings["evaluated_rows"]),
            decode_ms: timings["predicted_ms"].as_f64().unwrap_or_default(),
        };
        Ok(Answer { text, work })
    }

    /// The JSON that a request brings, sent again while the server is busy or away.
    fn send(&self, path: &str, body: Option<&str>) -> Result<Value> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let wait = match self.send_once(path, body) {
                Ok((200, _, text)) => {
                    return serde_json::from_str(&text)
                        .map_err(|error| self.failed(path, &format!("the answer is not JSON: {error}")));
                }
                Ok((429 | 503, wait, _)) if attempt < ATTEMPTS => wait.unwrap_or(pause).min(LONGEST_PAUSE),
                Ok((status, _, text)) => {
                    let error: Value = serde_json::from_str(&text).unwrap_or_default();
                    let message = error["error"]["message"].as_str().unwrap_or("no reason given");
                    return Err(self.failed(path, &format!("{status}: {message}")));
                }
                Err(_) if attempt < ATTEMPTS => pause,
                Err(error) => {
                    return Err(Error::new(ErrorCode::Network, format!("{}{path}: {error}", self.url)));
                }
            };
            sleep(wait);
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Status, the time to wait before the next attempt, and body.
    fn send_once(
        &self,
        path: &str,
        body: Option<&str>,
    ) -> std::result::Result<(u16, Option<Duration>, String), ureq::Error> {
        let url = format!("{}{path}", self.url);
        let authorization = |value: &String| ("Authorization", value.clone());
        let headers = self.api_key.iter().map(authorization);
        let mut response = match body {
            None => headers.fold(self.agent.get(url), |request, (name, value)| request.header(name, value)).call()?,
            Some(body) => headers
                .fold(self.agent.post(url), |request, (name, value)| request.header(name, value))
                .header("Content-Type", "application/json")
                .send(body)?,
        };
        let wait = response.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let text = response.body_mut().read_to_string()?;
        Ok((response.status().as_u16(), wait.map(Duration::from_secs), text))
    }

    fn failed(&self, path: &str, reason: &str) -> Error {
        Error::new(ErrorCode::Http, format!("{}{path}: {reason}", self.url))
    }
}

/// The path and the body that ask what the fields of a case do: options go by their names with
/// underscores.
fn request(fields: &Map<String, Value>) -> Result<(&'static str, Map<String, Value>)> {
    let mut body = Map::from_iter([("seed".to_owned(), SEED.into())]);
    for (name, value) in fields {
        let name = match &**name {
            "tokens" => "prompt".to_owned(),
            "chatTemplateArgs" => "chat_template_kwargs".to_owned(),
            "parseSpecial" => {
                return Err(Error::new(
                    ErrorCode::BadOption,
                    "`parseSpecial` cannot be asked of an endpoint: leave it out",
                ));
            }
            // Nobody looks at them, and not all servers have them.
            "logprobs" => continue,
            "stop" if value.as_array().is_some_and(Vec::is_empty) => continue,
            name => snake_case(name),
        };
        body.insert(name, value.clone());
    }
    let path = if body.contains_key("messages") { "/v1/chat/completions" } else { "/v1/completions" };
    Ok((path, body))
}

fn snake_case(name: &str) -> String {
    name.chars().fold(String::new(), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_by_their_other_names() {
        let read = |json: Value| request(json.as_object().unwrap());
        let (path, body) =
            read(json!({ "messages": [], "maxTokens": 3, "subBlockSize": 4, "stop": [], "logprobs": 1 })).unwrap();
        assert_eq!(path, "/v1/chat/completions");
        assert_eq!(Value::Object(body), json!({ "seed": 0, "messages": [], "max_tokens": 3, "sub_block_size": 4 }));
        let (path, body) = read(json!({ "tokens": [1], "seed": 7 })).unwrap();
        assert_eq!((path, Value::Object(body)), ("/v1/completions", json!({ "seed": 7, "prompt": [1] })));
        assert!(read(json!({ "prompt": "a", "parseSpecial": false })).is_err());
    }
}
