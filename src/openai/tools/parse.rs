//! Calls in the text of an answer, as it streams.
//!
//! What could be the beginning of a call is held back, so that no half of a tag is ever told; a
//! call is told when it is complete. Text that turns out to be none is told as text.

#![forbid(unsafe_code)]

use super::request::Tools;
use super::style::Family;
use serde_json::{Map, Value};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const ARGUMENTS: &str = "[ARGS]";
const PYTHON: &str = "<|python_tag|>";

/// A call that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::openai) struct Found {
    pub(in crate::openai) name: String,
    /// A JSON object as text.
    pub(in crate::openai) arguments: String,
}

/// What is certain of new text.
pub(in crate::openai) type Told = (String, Vec<Found>);

/// The state of one answer.
#[derive(Clone, Debug)]
pub(in crate::openai) struct Calls {
    tools: Tools,
    held: String,
    /// Whether text other than white space was told.
    begun: bool,
    found: usize,
}

impl Calls {
    pub(in crate::openai) fn new(tools: Tools) -> Self {
        Self { tools, held: String::new(), begun: false, found: 0 }
    }

    /// Takes more text.
    pub(in crate::openai) fn push(&mut self, text: &str) -> Told {
        self.held.push_str(text);
        self.advance(false)
    }

    /// Ends the answer.
    pub(in crate::openai) fn finish(&mut self) -> Told {
        self.advance(true)
    }

    fn advance(&mut self, end: bool) -> Told {
        let mut told = (String::new(), Vec::new());
        match self.tools.family() {
            Family::Hermes | Family::QwenCoder => self.tagged(end, &mut told),
            Family::Mistral => self.list(end, &mut told),
            Family::Llama3 => self.object(end, &mut told),
        }
        self.begun |= !told.0.trim().is_empty();
        told
    }

    /// Tells text; white space around calls says nothing.
    fn tell(&mut self, text: &str, told: &mut Told) {
        let text = if self.found > 0 && !self.begun { text.trim_start() } else { text };
        told.0.push_str(text);
    }

    fn take(&mut self, calls: Vec<Found>, told: &mut Told) {
        for call in calls {
            if self.tools.parallel || self.found == 0 {
                told.1.push(call);
                self.found += 1;
            }
        }
    }

    /// `<tool_call>...</tool_call>` anywhere.
    fn tagged(&mut self, end: bool, told: &mut Told) {
        loop {
            let Some(start) = self.held.find(OPEN) else {
                // White space may turn out to stand around a call.
                let sure =
                    if end { self.held.len() } else { self.held[..certain(&self.held, &[OPEN])].trim_end().len() };
                let text: String = self.held.drain(..sure).collect();
                return self.tell(if end && self.found > 0 { text.trim_end() } else { &text }, told);
            };
            let inside = start + OPEN.len();
            // The last call of an answer that was cut, or that a stop token ended, may lack its
            // tag.
            let (stop, behind) = match self.held[inside..].find(CLOSE) {
                Some(close) => (inside + close, inside + close + CLOSE.len()),
                None if end => (self.held.len(), self.held.len()),
                None => {
                    let text: String = self.held.drain(..start).collect();
                    return self.tell(text.trim_end(), told);
                }
            };
            let call = self.call(&self.held[inside..stop]);
            let shown = if call.is_some() { start } else { behind };
            let text = self.held[..shown].to_owned();
            self.held.drain(..behind);
            self.tell(if call.is_some() { text.trim_end() } else { &text }, told);
            self.take(call.into_iter().collect(), told);
        }
    }

    /// `[TOOL_CALLS]`, which may be a control token and then has no text, and a list of calls, or
    /// names and arguments.
    fn list(&mut self, end: bool, told: &mut Told) {
        let trimmed = self.held.trim_start();
        let marked = trimmed.starts_with(MISTRAL);
        let may_list = !self.begun && trimmed.starts_with(['[']) && !marked;
        let may_mark = MISTRAL.starts_with(trimmed) || marked;
        if !end && !self.begun && (may_list || may_mark) {
            return;
        }
        if !end {
            let certain = self.held.find(MISTRAL).unwrap_or_else(|| certain(&self.held, &[MISTRAL]));
            let text: String = self.held.drain(..certain).collect();
            return self.tell(&text, told);
        }
        let held = std::mem::take(&mut self.held);
        let (before, calls) = match held.find(MISTRAL) {
            Some(at) => (&held[..at], self.marked(&held[at..])),
            None if may_list => ("", self.array(&held)),
            None => (held.as_str(), Some(Vec::new())),
        };
        match calls {
            Some(calls) => {
                self.tell(before, told);
                self.take(calls, told);
            }
            None => self.tell(&held, told),
        }
    }

    fn marked(&self, text: &str) -> Option<Vec<Found>> {
        let mut calls = Vec::new();
        for part in text.split(MISTRAL).filter(|part| !part.trim().is_empty()) {
            match part.split_once(ARGUMENTS) {
                Some((name, arguments)) => {
                    let arguments = serde_json::from_str(arguments.trim()).ok()?;
                    calls.push(self.known(name.trim(), arguments)?);
                }
                None => calls.extend(self.array(part)?),
            }
        }
        Some(calls)
    }

    fn array(&self, text: &str) -> Option<Vec<Found>> {
        let Ok(Value::Array(calls)) = serde_json::from_str(text.trim()) else { return None };
        calls.into_iter().map(|call| self.known_object(call)).collect()
    }

    /// The whole answer is one call or several.
    fn object(&mut self, end: bool, told: &mut Told) {
        let trimmed = self.held.trim_start();
        let may_be =
            !self.begun && (trimmed.starts_with('{') || trimmed.starts_with(PYTHON) || PYTHON.starts_with(trimmed));
        if may_be && !end {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let bare = held.trim().strip_prefix(PYTHON).unwrap_or_else(|| held.trim());
        let mut values = serde_json::Deserializer::from_str(bare).into_iter::<Value>();
        let mut calls = may_be.then(Vec::new);
        let mut rest = bare;
        while let (Some(found), false) = (&mut calls, rest.trim().is_empty()) {
            match values.next() {
                Some(Ok(value)) => match self.known_object(value) {
                    Some(call) => found.push(call),
                    None => calls = None,
                },
                _ => calls = None,
            }
            rest = rest[values.byte_offset()..].trim_start_matches([';', ' ', '\n']);
            values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        }
        match calls.filter(|calls| !calls.is_empty()) {
            Some(calls) => self.take(calls, told),
            None => self.tell(&held, told),
        }
    }

    /// What stands between tags.
    fn call(&self, text: &str) -> Option<Found> {
        match serde_json::from_str(text.trim()) {
            Ok(value) => self.known_object(value),
            Err(_) => self.written_out(text.trim()),
        }
    }

    /// `<function=name><parameter=key>value</parameter></function>`.
    fn written_out(&self, text: &str) -> Option<Found> {
        let (name, mut rest) = text.strip_prefix("<function=")?.split_once('>')?;
        let tool = self.tools.get(name.trim())?;
        let mut arguments = Map::new();
        while let Some((_, parameter)) = rest.split_once("<parameter=") {
            let (key, value) = parameter.split_once('>')?;
            let (value, behind) = value.split_once("</parameter>")?;
            let value = value.strip_prefix('\n').unwrap_or(value);
            let value = value.strip_suffix('\n').unwrap_or(value);
            let schema = &tool.parameters["properties"][key];
            let value = match serde_json::from_str(value) {
                Ok(json) if schema["type"] != "string" => json,
                _ => Value::String(value.to_owned()),
            };
            arguments.insert(key.to_owned(), value);
            rest = behind;
        }
        self.known(name.trim(), Value::Object(arguments))
    }

    /// A call as an object.
    fn known_object(&self, value: Value) -> Option<Found> {
        let arguments = ["arguments", "parameters"].into_iter().find_map(|key| value.get(key));
        let arguments = arguments.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        // Some models write them as text.
        let arguments = match arguments {
            Value::String(text) => serde_json::from_str(&text).ok()?,
            other => other,
        };
        self.known(value.get("name")?.as_str()?, arguments)
    }

    /// A call of a tool that there is.
    fn known(&self, name: &str, arguments: Value) -> Option<Found> {
        let tool = self.tools.get(name)?;
        arguments.is_object().then(|| Found { name: tool.name.clone(), arguments: arguments.to_string() })
    }
}

/// Bytes of `text` that could not be the beginning of one of `tags`.
fn certain(text: &str, tags: &[&str]) -> usize {
    let could_be = |start: &usize| tags.iter().any(|tag| tag.starts_with(&text[*start..]));
    text.char_indices().map(|(start, _)| start).find(could_be).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::super::style::Style;
    use super::*;
    use crate::openai::fields::Fields;
    use crate::testing::test;
    use serde_json::json;

    fn calls(family: Family, parallel: bool) -> Calls {
        let tool = |name: &str| {
            let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
            json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
        };
        let body = json!({ "tools": [tool("weather"), tool("time")], "parallel_tool_calls": parallel });
        let mut fields = Fields::read(body.to_string().as_bytes()).unwrap();
        Calls::new(Tools::read(&mut fields, Style { family, ..Style::UNKNOWN }).unwrap())
    }

    /// What `text` tells in pieces of `size` characters.
    fn told(family: Family, text: &str, size: usize) -> (String, Vec<(String, String)>) {
        let mut calls = calls(family, true);
        let characters: Vec<char> = text.chars().collect();
        let mut all: Vec<Told> = characters.chunks(size).map(|piece| calls.push(&String::from_iter(piece))).collect();
        all.push(calls.finish());
        let found = all.iter().flat_map(|told| &told.1).map(|call| (call.name.clone(), call.arguments.clone()));
        (all.iter().map(|told| told.0.as_str()).collect(), found.collect())
    }

    #[test]
    fn calls_are_found_however_the_text_is_cut() {
        use Family::{Hermes, Llama3, Mistral, QwenCoder};
        let rome = ("weather", r#"{"city":"Rome"}"#);
        let two = ("weather", r#"{"city":"12","days":3}"#);
        for (family, text, content, expected) in [
            (
                Hermes,
                r#"<tool_call>
{"name": "weather", "arguments": {"city": "Rome"}}
</tool_call>"#,
                "",
                &[rome][..],
            ),
            (
                Hermes,
                r#"Let me see. <tool_call>{"name":"weather","arguments":{"city":"Rome"}}</tool_call>
<tool_call>{"name":"time"}</tool_call>"#,
                "Let me see.",
                &[rome, ("time", "{}")],
            ),
            (Hermes, r#"<tool_call>{"name":"weather","arguments":"{\"city\":\"Rome\"}"}"#, "", &[rome]),
            (Hermes, "a <tool_cat> < b", "a <tool_cat> < b", &[]),
            (
                Hermes,
                r#"<tool_call>{"name":"unknown"}</tool_call>"#,
                r#"<tool_call>{"name":"unknown"}</tool_call>"#,
                &[],
            ),
            (Hermes, "<tool_call>{\"name\": \"wea", "<tool_call>{\"name\": \"wea", &[]),
            (
                QwenCoder,
                "Sure.\n<tool_call>\n<function=weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
                "Sure.",
                &[two],
            ),
            (Mistral, r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Rome"}}]"#, "", &[rome]),
            (
                Mistral,
                r#"[{"name": "weather", "arguments": {"city": "Rome"}}, {"name":"time"}]"#,
                "",
                &[rome, ("time", "{}")],
            ),
            (Mistral, r#"[TOOL_CALLS]weather[ARGS]{"city": "Rome"}"#, "", &[rome]),
            (Mistral, "[1] is a list, [TOOL] no call", "[1] is a list, [TOOL] no call", &[]),
            (Llama3, r#"{"name": "weather", "parameters": {"city": "Rome"}}"#, "", &[rome]),
            (
                Llama3,
                r#"<|python_tag|>{"name":"weather","parameters":{"city":"Rome"}}; {"name":"time","parameters":{}}"#,
                "",
                &[rome, ("time", "{}")],
            ),
            (Llama3, r#"{"no": "call"}"#, r#"{"no": "call"}"#, &[]),
            (Llama3, "It is {hot}.", "It is {hot}.", &[]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|&(name, arguments)| (name.to_owned(), arguments.to_owned())).collect();
            for size in [1, 2, 3, 7, 1000] {
                assert_eq!(
                    told(family, text, size),
                    (content.to_owned(), expected.clone()),
                    "{family:?} {text} by {size}"
                );
            }
        }
    }

    #[test]
    fn nothing_of_a_tag_is_told_before_it_is_known() {
        let mut calls = calls(Family::Hermes, true);
        assert_eq!(calls.push("Yes <tool_").0, "Yes");
        assert_eq!(calls.push("call>{\"name\":\"ti").0, "");
        assert_eq!(calls.push("me\"}</tool_call").0, "");
        assert_eq!(calls.push(">").1.len(), 1);
        assert_eq!(calls.finish(), (String::new(), Vec::new()));
    }

    #[test]
    fn one_call_is_enough_where_they_may_not_be_parallel() {
        let mut calls = calls(Family::Hermes, false);
        let call = "<tool_call>{\"name\":\"time\"}</tool_call>";
        assert_eq!(calls.push(&call.repeat(2)).1.len(), 1);
    }
}
