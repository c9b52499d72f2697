//! What requests get: text, streams, probabilities, tokens.

use super::server::Server;
use super::{question, with};
use crate::common::{fixture, webtern};
use serde_json::{Value, json};
use std::io::Write;

const CHAT: &str = "/v1/chat/completions";

/// The texts of the choices of a streamed answer.
fn streamed(events: &[Value], choices: usize) -> Vec<String> {
    let mut texts = vec![String::new(); choices];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().unwrap()) {
        let text = choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str()).unwrap_or_default();
        texts[choice["index"].as_u64().unwrap() as usize] += text;
    }
    texts
}

#[test]
fn chat_answers_as_the_command_line_does() {
    let server = Server::start("tiny", &[]);
    let output =
        webtern().args(["generate", "tiny", "--chat", "What is 24 + 64?", "--json", "-n", "64"]).output().unwrap();
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    let answer = server.answer(CHAT, &question("What is 24 + 64?"));
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], expected["text"]);
    assert_eq!((&choice["message"]["role"], &choice["finish_reason"]), (&json!("assistant"), &json!("stop")));
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("tiny")));
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], expected["stats"]["newTokens"], "with the token that ends the answer");
    assert_eq!(usage["prompt_tokens"], expected["stats"]["promptTokens"]);
    assert_eq!(answer["timings"]["mode"], "adaptive");
    let autoregressive = || server.answer(CHAT, &with(question("What is 24 + 64?"), &json!({ "mode": "ar" })));
    let (first, again) = (autoregressive(), autoregressive());
    assert_eq!(again["choices"], first["choices"]);
    assert!(again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64() > Some(0), "{again}");
}

#[test]
fn streams_are_the_whole_answer_in_pieces() {
    let server = Server::start("tiny", &[]);
    let body = with(question("Spell the word house."), &json!({ "n": 2 }));
    let whole = server.answer(CHAT, &body);
    let stream = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let response = server.post(CHAT, &with(body.clone(), &stream));
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let mut events = response.events();
    let texts = streamed(&events, 2);
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(whole["choices"][index]["message"]["content"], **text);
    }
    let last = events.pop().unwrap();
    assert_eq!(
        (&last["choices"], &last["usage"]["completion_tokens"]),
        (&json!([]), &whole["usage"]["completion_tokens"])
    );
    assert!(events.iter().all(|event| event.as_object().unwrap().get("usage") == Some(&Value::Null)), "{events:?}");
    assert_eq!(events[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    let ends = events.iter().filter(|event| event["choices"][0]["finish_reason"] == "stop").count();
    assert_eq!(ends, 2);
    let bare = server.post(CHAT, &with(body, &json!({ "stream": true }))).events();
    assert!(bare.iter().all(|event| event.get("usage").is_none()));
}

#[test]
fn logprobs_spell_the_content() {
    let server = Server::start("tiny", &[]);
    for mode in ["ar", "adaptive"] {
        let body = with(question("What is 5 + 8?"), &json!({ "mode": mode, "logprobs": true, "top_logprobs": 3 }));
        let answer = server.answer(CHAT, &body);
        let tokens = answer["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
        let bytes = |token: &Value| {
            token["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect::<Vec<_>>()
        };
        let text = String::from_utf8(tokens.iter().flat_map(bytes).collect()).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], *text);
        for token in &tokens {
            let top = token["top_logprobs"].as_array().unwrap();
            assert_eq!(top.len(), 3);
            assert!(top.iter().all(|other| other["logprob"].as_f64() <= top[0]["logprob"].as_f64()));
            assert!(token["logprob"].as_f64() <= Some(0.0));
        }
        let stop = with(body.clone(), &json!({ "stop": ["="], "top_logprobs": null, "stream": true }));
        let events = server.post(CHAT, &stop).events();
        let content = streamed(&events, 1).remove(0);
        assert!(!content.contains('=') && !content.is_empty());
        let logprobs = events
            .iter()
            .flat_map(|event| event["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default());
        let tokens: Vec<Value> = logprobs.collect();
        assert_eq!(String::from_utf8(tokens.iter().flat_map(bytes).collect()).unwrap(), content);
        assert!(tokens.iter().all(|token| token["top_logprobs"] == json!([])));
    }
}

#[test]
fn seeds_decide_and_choices_count_them_up() {
    let server = Server::start("tiny", &[]);
    let body =
        |seed: u64, n: usize| json!({ "prompt": "Once", "temperature": 1.5, "seed": seed, "n": n, "max_tokens": 12 });
    let texts = |answer: &Value| -> Vec<String> {
        answer["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap().to_owned()).collect()
    };
    let three = server.answer("/v1/completions", &body(7, 3));
    let alone: Vec<String> =
        (7..10).flat_map(|seed| texts(&server.answer("/v1/completions", &body(seed, 1)))).collect();
    assert_eq!(texts(&three), alone);
    assert_ne!(alone[0], alone[1]);
    let each = three["usage"]["completion_tokens"].as_u64().unwrap();
    assert!(each > 12 && each <= 36, "{three}");
    let without = json!({ "prompt": "Once", "temperature": 1.5, "max_tokens": 12 });
    let drawn: Vec<Value> = (0..4).map(|_| server.answer("/v1/completions", &without)["choices"].clone()).collect();
    assert!(drawn.iter().any(|choices| choices != &drawn[0]), "each request draws a seed of its own");
}

#[test]
fn completions_take_text_ids_and_lists() {
    let server = Server::start("tiny", &[]);
    let ids = server.answer("/tokenize", &json!({ "content": "What is", "add_special": true }))["tokens"].clone();
    let body = |prompt: Value| json!({ "prompt": prompt, "max_tokens": 2 });
    let text = server.answer("/v1/completions", &body(json!("What is")));
    assert_eq!(server.answer("/v1/completions", &body(ids))["choices"], text["choices"]);
    let several = server.answer("/v1/completions", &body(json!(["What is", "Spell"])));
    assert_eq!(several["choices"].as_array().unwrap().len(), 2);
    assert_eq!(several["choices"][0]["text"], text["choices"][0]["text"]);
    assert_eq!(text["choices"][0]["finish_reason"], "length");
    let logprobs = server.answer("/v1/completions", &with(body(json!("What is")), &json!({ "logprobs": 2 })));
    let tokens = logprobs["choices"][0]["logprobs"]["tokens"].as_array().unwrap();
    let joined: String = tokens.iter().filter_map(Value::as_str).collect();
    assert_eq!(logprobs["choices"][0]["text"], *joined);
    assert_eq!(logprobs["choices"][0]["logprobs"]["text_offset"][0], 0);
}

#[test]
fn responses_are_items_and_events() {
    let server = Server::start("tiny", &[]);
    let body = json!({ "input": "What is 5 + 8?", "instructions": "Answer.", "max_output_tokens": 64 });
    let whole = server.answer("/v1/responses", &body);
    assert_eq!((&whole["object"], &whole["status"]), (&json!("response"), &json!("completed")));
    let text = &whole["output"][0]["content"][0]["text"];
    let stream = server.post("/v1/responses", &with(body.clone(), &json!({ "stream": true }))).text();
    let mut names = Vec::new();
    let mut deltas = String::new();
    for (number, event) in stream.split("\n\n").filter(|event| !event.is_empty()).enumerate() {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        assert_eq!((&data["type"], &data["sequence_number"]), (&json!(name), &json!(number)));
        if name == "response.output_text.delta" {
            deltas += data["delta"].as_str().unwrap();
        } else {
            names.push(name.trim_start_matches("response.").to_owned());
        }
    }
    assert_eq!(*text, deltas);
    let expected = "created in_progress output_item.added content_part.added output_text.done content_part.done \
                    output_item.done completed";
    assert_eq!(names.join(" "), expected);
    let cut = server.answer("/v1/responses", &with(body, &json!({ "max_output_tokens": 2 })));
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[test]
fn choices_between_given_answers_sum_to_one() {
    let server = Server::start("tiny", &[]);
    let options = ["24 + 64 = 88.", "24 + 64 = 87.", "no"];
    let body = with(question("What is 24 + 64?"), &json!({ "options": options }));
    let mut body = body;
    body.as_object_mut().unwrap().remove("max_tokens");
    for normalize in [json!(null), json!("length")] {
        let answer = server.answer("/v1/choose", &with(body.clone(), &json!({ "normalize": normalize })));
        let probabilities: Vec<f64> =
            answer["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{answer}");
        assert!(probabilities[0] > 0.5, "{answer}");
    }
    assert_eq!(server.answer("/v1/choose", &json!({ "prompt": "a", "options": ["b"] }))["probabilities"], json!([1.0]));
}

#[test]
fn tokens_go_both_ways() {
    let server = Server::start("tiny", &[]);
    let tokens = server.answer("/tokenize", &json!({ "content": "What is 24?" }));
    assert_eq!(server.answer("/detokenize", &tokens), json!({ "content": "What is 24?" }));
    let prompt = server.answer("/apply-template", &json!({ "messages": [{ "role": "user", "content": "hi" }] }));
    assert!(prompt["prompt"].as_str().unwrap().contains("hi"), "{prompt}");
    let models = server.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "tiny");
    assert_eq!(server.get("/v1/models/tiny").json(), models["data"][0]);
    assert_eq!(server.get("/health").json(), json!({ "status": "ok" }));
}

#[test]
fn requests_without_a_mode_use_the_servers() {
    let mode = |server: &Server, more: Value| {
        let body = with(json!({ "prompt": "What is", "max_tokens": 2 }), &more);
        server.answer("/v1/completions", &body)["timings"]["mode"].as_str().unwrap().to_owned()
    };
    let server = Server::start("tiny", &["--mode", "ar"]);
    assert_eq!(mode(&server, json!({})), "ar");
    assert_eq!(mode(&server, json!({ "mode": "greedy" })), "greedy");
    let Some(stories) = fixture("stories260K.gguf") else { return };
    let server = Server::start(stories.to_str().unwrap(), &[]);
    assert_eq!(mode(&server, json!({})), "ar", "it is no diffusion model");
}

#[test]
fn control_tokens_end_answers_by_name_and_by_id() {
    let server = Server::start("tiny", &[]);
    let body = with(question("What is 24 + 64?"), &json!({ "mode": "ar", "logprobs": true }));
    let whole = server.answer(CHAT, &body);
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let id = server.answer("/tokenize", &json!({ "content": text }))["tokens"][3].clone();
    let cut = server.answer(CHAT, &with(body.clone(), &json!({ "stop_token_ids": [id] })));
    let content = cut["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.starts_with(content) && content.len() < text.len(), "{content}");
    assert_eq!(cut["choices"][0]["finish_reason"], "stop");
    let bias = json!({ "logit_bias": { server.answer("/tokenize", &json!({ "content": "<|im_start|>" }))["tokens"][0].to_string(): 100 } });
    let named = server.answer(CHAT, &with(with(body, &bias), &json!({ "stop": "<|im_start|>" })));
    assert_eq!(
        (&named["choices"][0]["message"]["content"], &named["choices"][0]["finish_reason"]),
        (&json!(""), &json!("stop"))
    );
}

#[test]
fn metrics_have_what_a_dashboard_needs() {
    let server = Server::start("tiny", &[]);
    server.answer(CHAT, &question("What is 24 + 64?"));
    let response = server.get("/metrics");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for name in [
        "webtern_prompt_tokens_total",
        "webtern_generated_tokens_total",
        "webtern_passes_total",
        "webtern_tokens_per_second",
        "webtern_tokens_per_pass",
        "webtern_time_to_first_token_seconds_count",
    ] {
        assert!(server.metric(name) > 0.0, "{name}");
    }
    assert!(response.text().contains("# TYPE webtern_requests_running gauge"));
    assert_eq!(server.metric("webtern_queue_requests"), 0.0);
}

/// A template that thinks, or begins the answer within its thoughts.
#[test]
fn reasoning_is_told_apart_where_the_template_marks_it() {
    let template = |end: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}";
        write!(file, "{text}{{% if add_generation_prompt %}}<|im_start|>assistant\n{end}{{% endif %}}").unwrap();
        file
    };
    for (end, reasons) in [("<think>\n", true), ("<think>\n\n</think>\n\n", false), ("", false)] {
        let file = template(end);
        let server = Server::start("tiny", &["--chat-template", file.path().to_str().unwrap()]);
        let body = with(question("What is 24 + 64?"), &json!({ "max_tokens": 8 }));
        let message = server.answer(CHAT, &body)["choices"][0]["message"].clone();
        assert_eq!(message.get("reasoning_content").is_some(), reasons, "{end:?} {message}");
        assert_eq!(message["content"] == "", reasons, "{end:?} {message}");
    }
}
