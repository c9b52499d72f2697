//! From a body to an answer, with the events that a run would make.

use super::answer::Generate;
use super::*;
use crate::decode::{Event, FinishReason, Format, Outcome, Stats, TokenLogprob, TopLogprob};
use crate::testing::test;

const MOMENT: Moment = Moment { id: 255, created: 1700, seed: 9 };

fn service() -> Service {
    Service { mode: Mode::Ar, reasoning: true, aliases: vec!["Toy 1".to_owned()], ..Service::named("toy") }
}

fn read(endpoint: Endpoint, body: &str) -> ApiResult<Generate> {
    Generate::read(endpoint, body.as_bytes(), &service(), MOMENT)
}

fn text(text: &str) -> Event {
    Event::Text { text: text.to_owned(), logprobs: Vec::new() }
}

fn done(finish_reason: FinishReason) -> Event {
    let stats = Stats {
        prompt_tokens: 7,
        new_tokens: 3,
        reused_tokens: 2,
        prefill_ms: 1.0,
        decode_ms: 2.0,
        tokens_per_second: 1500.0,
        passes: 2,
        blocks: 1,
        commits: 0,
        evaluated_rows: 3,
        forced_tokens: 0,
        hurried_tokens: 0,
        mode: Mode::Ar,
        auto_reason: None,
    };
    Event::Done { result: Outcome { text: String::new(), tokens: vec![1, 2, 3], finish_reason, stats } }
}

/// All frames of an answer to `body` whose run makes `events`.
fn frames(endpoint: Endpoint, body: &str, events: Vec<Event>) -> Vec<Value> {
    let mut answer = read(endpoint, body).unwrap().answer;
    let mut frames = answer.open();
    frames.extend(events.into_iter().flat_map(|event| answer.push(0, event)));
    frames.extend(answer.close());
    frames.iter().filter_map(|frame| frame.json().cloned()).collect()
}

fn body(endpoint: Endpoint, request: &str, events: Vec<Event>) -> Value {
    let mut answer = read(endpoint, request).unwrap().answer;
    events.into_iter().for_each(|event| assert_eq!(answer.push(0, event), []));
    assert!(answer.is_complete());
    answer.body()
}

const ASK: &str = r#"{"messages": [{"role": "user", "content": "a"}]"#;

#[test]
fn a_chat_answer_has_every_field_that_clients_read() {
    let events = vec![text("<think>hm"), text("</think>b"), text("c"), done(FinishReason::Length)];
    let answer = body(Endpoint::Chat, &format!("{ASK}}}"), events);
    assert_eq!(answer["id"], "chatcmpl-00000000000000ff");
    assert_eq!((&answer["created"], &answer["model"]), (&json!(1700), &json!("toy")));
    assert_eq!(
        answer["choices"],
        json!([{ "index": 0, "logprobs": null, "finish_reason": "length", "message": {
            "role": "assistant", "content": "bc", "refusal": null, "reasoning_content": "hm" } }])
    );
    let details = json!({ "cached_tokens": 2 });
    assert_eq!(
        answer["usage"],
        json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": details })
    );
    assert_eq!((&answer["timings"]["passes"], &answer["timings"]["mode"]), (&json!(2), &json!("ar")));
}

#[test]
fn a_stream_tells_role_text_reason_and_usage() {
    let request = format!(r#"{ASK}, "stream": true, "stream_options": {{"include_usage": true}}}}"#);
    let events = vec![text("b"), text(""), text("c"), done(FinishReason::Stop)];
    let frames = frames(Endpoint::Chat, &request, events);
    let deltas: Vec<&Value> = frames.iter().map(|frame| &frame["choices"][0]["delta"]).collect();
    let opening = json!({ "role": "assistant", "content": "" });
    assert_eq!(deltas, [&opening, &json!({ "content": "b" }), &json!({ "content": "c" }), &json!({}), &Value::Null]);
    assert_eq!(frames[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!(frames[4]["usage"]["total_tokens"], 10);
    assert_eq!(frames[4]["choices"], json!([]));
    assert!(frames[..4].iter().all(|frame| frame["usage"].is_null() && frame["choices"][0]["logprobs"].is_null()));
}

#[test]
fn logprobs_are_listed_with_their_alternatives() {
    let top = vec![TopLogprob { id: 6, logprob: -0.25, bytes: b"x".to_vec() }];
    let token = TokenLogprob { id: 5, logprob: -1.5, bytes: vec![0xc3], top };
    let event = Event::Text { text: String::new(), logprobs: vec![token] };
    let request = format!(r#"{ASK}, "logprobs": true, "top_logprobs": 1}}"#);
    let answer = body(Endpoint::Chat, &request, vec![event.clone(), done(FinishReason::Stop)]);
    let top = json!({ "token": "x", "logprob": -0.25, "bytes": [120] });
    let token = json!({ "token": "\u{fffd}", "logprob": -1.5, "bytes": [195], "top_logprobs": [top] });
    assert_eq!(answer["choices"][0]["logprobs"], json!({ "content": [token], "refusal": null }));
    let events = vec![text("éa"), event, done(FinishReason::Stop)];
    let frames = frames(Endpoint::Completions, r#"{"prompt": "a", "logprobs": 1, "stream": true}"#, events);
    assert_eq!(
        frames[1]["choices"][0]["logprobs"],
        json!({ "tokens": ["\u{fffd}"], "token_logprobs": [-1.5], "top_logprobs": [{ "x": -0.25 }], "text_offset": [2] })
    );
}

#[test]
fn reasoning_is_an_item_of_its_own_in_responses() {
    let events = vec![text("<think>hm</think>"), text("b"), done(FinishReason::Length)];
    let frames = frames(Endpoint::Responses, r#"{"input": "a", "stream": true}"#, events.clone());
    let names: Vec<&str> =
        frames.iter().map(|frame| frame["type"].as_str().unwrap().trim_start_matches("response.")).collect();
    assert_eq!(
        names,
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "incomplete",
        ]
    );
    assert_eq!(frames[10]["output_index"], 1);
    let whole = body(Endpoint::Responses, r#"{"input": "a"}"#, events);
    assert_eq!(frames[14]["response"]["output"], whole["output"]);
    assert_eq!((&whole["status"], &whole["output"][0]["type"]), (&json!("incomplete"), &json!("reasoning")));
    let empty = self::frames(Endpoint::Responses, r#"{"input": "a", "stream": true}"#, vec![done(FinishReason::Stop)]);
    assert_eq!(empty.last().unwrap()["response"]["output"][0]["content"][0]["text"], "");
}

#[test]
fn models_go_by_their_names() {
    for name in ["toy", "Toy 1"] {
        assert!(read(Endpoint::Chat, &format!(r#"{ASK}, "model": "{name}"}}"#)).is_ok());
        assert_eq!(service().card(name).unwrap()["id"], "toy");
    }
    let error = read(Endpoint::Chat, &format!(r#"{ASK}, "model": "gpt"}}"#)).unwrap_err();
    assert_eq!((error.status, error.code), (404, Some("model_not_found")));
    assert!(service().card("gpt").is_err());
    assert_eq!(service().list()["data"][0]["id"], "toy");
}

#[test]
fn prompts_times_choices_are_runs_with_seeds_of_their_own() {
    let request = r#"{"prompt": ["a", "b"], "n": 2, "seed": 5, "user": "u"}"#;
    let runs = read(Endpoint::Completions, request).unwrap().runs();
    assert_eq!(runs, [(0, 5), (0, 6), (1, 7), (1, 8)]);
    assert_eq!(read(Endpoint::Completions, r#"{"prompt": [3, 4]}"#).unwrap().runs(), [(0, 9)]);
}

#[test]
fn what_webtern_cannot_do_is_refused_by_name() {
    for (endpoint, body, param) in [
        (Endpoint::Chat, r#""tools": 3"#, "tools"),
        (Endpoint::Chat, r#""tools": [{}]"#, "tools[0].type"),
        (Endpoint::Chat, r#""tools": [{"type": "custom"}]"#, "tools[0]"),
        (Endpoint::Chat, r#""tools": [{"type": "function", "function": {"name": "a b"}}]"#, "tools[0].function.name"),
        (Endpoint::Chat, r#""tool_choice": "any""#, "tool_choice"),
        (Endpoint::Chat, r#""tool_choice": {"type": "function", "function": {"name": "f"}}"#, "tool_choice"),
        (Endpoint::Chat, r#""parallel_tool_calls": 3"#, "parallel_tool_calls"),
        (Endpoint::Chat, r#""response_format": {"type": "xml"}"#, "response_format"),
        (
            Endpoint::Chat,
            r#""response_format": {"type": "json_object"}, "tools": [{"type": "function", "function": {"name": "f"}}]"#,
            "response_format",
        ),
        (Endpoint::Chat, r#""modalities": ["text", "audio"]"#, "modalities"),
        (Endpoint::Chat, r#""audio": {}"#, "audio"),
        (Endpoint::Chat, r#""functions": [{}]"#, "functions"),
        (Endpoint::Chat, r#""prediction": {}"#, "prediction"),
        (Endpoint::Chat, r#""web_search_options": {}"#, "web_search_options"),
        (Endpoint::Chat, r#""tool_choice": "required""#, "tool_choice"),
        (Endpoint::Chat, r#""top_logprobs": 3"#, "top_logprobs"),
        (Endpoint::Chat, r#""topK": 3"#, "topK"),
        (Endpoint::Completions, r#""prompt": "a", "suffix": "b""#, "suffix"),
        (Endpoint::Completions, r#""prompt": "a", "echo": true"#, "echo"),
        (Endpoint::Completions, r#""prompt": "a", "logprobs": 6"#, "logprobs"),
        (Endpoint::Completions, r#""prompt": ["a", 3]"#, "prompt"),
        (Endpoint::Completions, r#""prompt": []"#, "prompt"),
        (Endpoint::Responses, r#""input": "a", "background": true"#, "background"),
        (Endpoint::Responses, r#""input": "a", "truncation": "auto""#, "truncation"),
        (Endpoint::Responses, r#""input": "a", "text": {"format": {"type": "json_schema"}}"#, "text.format.schema"),
        (Endpoint::Responses, r#""input": [{"type": "function_call_output"}]"#, "input[0]"),
    ] {
        let request = if endpoint == Endpoint::Chat { format!("{ASK}, {body}}}") } else { format!("{{{body}}}") };
        let error = read(endpoint, &request).unwrap_err();
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{error}");
    }
    let harmless = r#""user": "u", "metadata": {}, "store": true, "service_tier": "auto", "safety_identifier": "s",
        "prompt_cache_key": "k", "verbosity": "low", "reasoning_effort": "low", "moderation": {}, "tools": null,
        "tool_choice": "auto", "parallel_tool_calls": true, "response_format": {"type": "text"}, "modalities": ["text"]"#;
    assert!(read(Endpoint::Chat, &format!("{ASK}, {harmless}}}")).is_ok());
}

/// A request with a tool.
fn with_tool(more: &str) -> String {
    let parameters = r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#;
    format!(
        r#"{ASK}, "tools": [{{"type": "function", "function": {{"name": "add", "parameters": {parameters}}}}}]{more}}}"#
    )
}

#[test]
fn calls_are_no_text() {
    let events = || {
        let pieces = ["One moment. <tool", "_call>\n{\"name\": \"add\", \"arg", "uments\": {\"a\": 1}}\n</tool_call>"];
        pieces.into_iter().map(text).chain([done(FinishReason::Stop)]).collect::<Vec<_>>()
    };
    let whole = body(Endpoint::Chat, &with_tool(""), events());
    let choice = &whole["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &json!("One moment."))
    );
    let call = &choice["message"]["tool_calls"][0];
    let id = call["id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id.len() == 29, "{id}");
    assert_eq!(call["function"], json!({ "name": "add", "arguments": "{\"a\":1}" }));

    let frames = frames(Endpoint::Chat, &with_tool(r#", "stream": true"#), events());
    let deltas: Vec<&Value> = frames.iter().map(|frame| &frame["choices"][0]["delta"]).collect();
    let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(text, "One moment.");
    let calls: Vec<&Value> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!((&calls[0]["id"], &calls[0]["index"], &calls[0]["type"]), (&call["id"], &json!(0), &json!("function")));
    assert_eq!((&calls[0]["function"], calls.len()), (&json!({ "name": "add", "arguments": "" }), 2));
    assert_eq!(calls[1], &json!({ "index": 0, "function": { "arguments": "{\"a\":1}" } }));
    assert_eq!(frames.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn without_tools_a_call_is_text() {
    let call = "<tool_call>{\"name\": \"add\"}</tool_call>";
    let request = with_tool(r#", "tool_choice": "none""#);
    for request in [format!("{ASK}}}"), request] {
        let answer = body(Endpoint::Chat, &request, vec![text(call), done(FinishReason::Stop)]);
        assert_eq!(answer["choices"][0]["message"]["content"], call);
    }
}

#[test]
fn a_call_can_be_demanded() {
    let format = |more: &str| {
        let generate = read(Endpoint::Chat, &with_tool(more)).unwrap();
        generate.options(0).response_format.map(|format| format.format().clone())
    };
    assert_eq!(format(""), None);
    for (more, several) in [
        (r#", "tool_choice": "required""#, true),
        (r#", "tool_choice": "required", "parallel_tool_calls": false"#, false),
        (r#", "tool_choice": {"type": "function", "function": {"name": "add"}}"#, false),
    ] {
        let Some(Format::Sequence { schema, first, between, last }) = format(more) else { panic!("{more}") };
        assert_eq!((first.as_str(), between.is_some(), last.as_str()), ("<tool_call>\n", several, "\n</tool_call>"));
        assert_eq!(schema["anyOf"][0]["properties"]["name"], json!({ "const": "add" }));
        assert_eq!(schema["anyOf"][0]["properties"]["arguments"]["required"], json!(["a"]));
    }
}

#[test]
fn utilities_read_their_bodies() {
    let read = |body: &str| Choose::read(body.as_bytes(), &service()).map_err(|error| error.message);
    let choose = read(r#"{"prompt": "a", "options": ["b", "c"], "normalize": "length"}"#).unwrap();
    assert_eq!((choose.options.len(), choose.by_length), (2, true));
    assert!(read(r#"{"prompt": "a", "messages": [], "options": ["b"]}"#).unwrap_err().contains("not both"));
    assert!(read(r#"{"prompt": "a", "options": ["b", ""]}"#).unwrap_err().contains("`options`"));
    assert!(read(r#"{"prompt": "a", "options": ["b"], "normalize": 3}"#).unwrap_err().contains("`normalize`"));
    assert!(Tokenize::read(br#"{"content": "a", "x": 1}"#).is_err());
    assert!(!Tokenize::read(br#"{"content": "a", "parse_special": false}"#).unwrap().parse_special);
    assert_eq!(Detokenize::read(br#"{"tokens": [1, 2]}"#).unwrap().tokens, [1, 2]);
    assert!(Detokenize::read(br#"{"tokens": [-1]}"#).is_err());
    assert!(
        !ApplyTemplate::read(br#"{"messages": [{"role": "user", "content": ""}], "add_generation_prompt": false}"#)
            .unwrap()
            .add_generation_prompt
    );
}
