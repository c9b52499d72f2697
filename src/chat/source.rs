//! Templates as text: what of Jinja2's language minijinja does not have is rewritten before it
//! compiles a template.
//!
//! - `{% generation %}` blocks mark what an assistant wrote, for training; they become blocks that
//!   are always taken.
//! - `text % values` formats as in Python; it becomes the filter `percent`, which is `%` for
//!   numbers too.

#![forbid(unsafe_code)]

use std::ops::Range;

/// Words after which an opening bracket begins an operand of its own instead of a call.
const KEYWORDS: [&str; 11] = ["and", "or", "not", "in", "is", "if", "else", "elif", "for", "do", "set"];

/// Code with more `%` than this keeps them: looking for the operands of each takes as long as the
/// code.
const MAX_PERCENTS: usize = 64;

/// The compiler of minijinja recurses for every operator and every `elif`, and a stack has an end.
/// Published templates have 604 tokens in a piece of code and 20 `elif` at most.
const MAX_TOKENS: usize = 2000;
const MAX_ELIFS: usize = 500;
/// minijinja counts lines and columns in 16 bits.
const MAX_LINES: usize = 60_000;

/// Refuses what would take the compiler more than its stack and counters hold, saying what.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.lines().count() > MAX_LINES || source.lines().any(|line| line.len() > MAX_LINES) {
        return Err(format!("it has more than {MAX_LINES} lines, or bytes in a line"));
    }
    let mut elifs = 0;
    for part in parts(source) {
        let Part::Code(code) = part else { continue };
        let tokens = tokens(code);
        if tokens.len() > MAX_TOKENS {
            return Err(format!("a piece of its code has {} tokens; at most {MAX_TOKENS} are supported", tokens.len()));
        }
        elifs += usize::from(tokens.first().is_some_and(|name| &code[name.clone()] == "elif"));
    }
    if elifs > MAX_ELIFS {
        return Err(format!("it has {elifs} times elif; at most {MAX_ELIFS} are supported"));
    }
    Ok(())
}

/// `source` as minijinja reads it.
pub(super) fn prepare(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    for part in parts(source) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Code(code) => match tag_name(code) {
                Some(name) if &code[name.clone()] == "generation" => replace(code, name, "if true", &mut out),
                Some(name) if &code[name.clone()] == "endgeneration" => replace(code, name, "endif", &mut out),
                _ => percents(code, &mut out),
            },
        }
    }
    out
}

/// The strings that are written out in the code of a template, without those that have escapes
/// other than a line end.
pub(super) fn literals(source: &str) -> Vec<String> {
    let strings = parts(source).into_iter().filter_map(|part| match part {
        Part::Code(code) => Some(tokens(code).into_iter().filter_map(move |token| {
            let quoted = code.get(token)?;
            let text = quoted.strip_prefix(['"', '\'']).map(|rest| &rest[..rest.len().saturating_sub(1)])?;
            Some(text.replace("\\n", "\n")).filter(|text| !text.contains('\\'))
        })),
        Part::Text(_) => None,
    });
    strings.flatten().collect()
}

#[derive(Clone, Copy)]
enum Part<'a> {
    /// Text, comments, and what stands between `{% raw %}` and `{% endraw %}`.
    Text(&'a str),
    /// `{{ ... }}` or `{% ... %}` with its brackets.
    Code(&'a str),
}

fn parts(source: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut raw) = (source, false);
    while let Some(open) =
        rest.match_indices('{').map(|(at, _)| at).find(|&at| rest[at + 1..].starts_with(['{', '%', '#']))
    {
        let (text, code) = rest.split_at(open);
        parts.push(Part::Text(text));
        let comment = code.starts_with("{#");
        let Some(end) = (if comment { code.find("#}").map(|at| at + 2) } else { code_end(code) }) else {
            rest = code;
            break;
        };
        let (code, after) = code.split_at(end);
        let name = tag_name(code).map(|name| &code[name]);
        parts.push(if comment || (raw && name != Some("endraw")) { Part::Text(code) } else { Part::Code(code) });
        raw = name == Some("raw") || (raw && name != Some("endraw"));
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
}

/// Where the code that `code` begins with ends, behind its closing bracket.
fn code_end(code: &str) -> Option<usize> {
    let close = if code.starts_with("{{") { "}}" } else { "%}" };
    let mut depth = 0_usize;
    let mut at = 2;
    loop {
        let rest = code.get(at..)?;
        // Braces of a dictionary come before those that close.
        if depth == 0 && rest.starts_with(close) {
            return Some(at + 2);
        }
        let first = rest.chars().next()?;
        match first {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += if matches!(first, '"' | '\'') { string_length(rest)? } else { first.len_utf8() };
    }
}

/// The bytes of the string literal that `text` begins with.
fn string_length(text: &str) -> Option<usize> {
    let quote = *text.as_bytes().first()?;
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == quote && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(end + 2)
}

/// Where the name of a tag stands in `{%- name ... %}`, if it has one and it is the tag's only word
/// for the tags of `prepare`.
fn tag_name(code: &str) -> Option<Range<usize>> {
    let inner = code.strip_prefix("{%")?.strip_suffix("%}")?;
    let name = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
    let start = name.as_ptr() as usize - code.as_ptr() as usize;
    Some(start..start + name.len())
}

fn replace(code: &str, name: Range<usize>, with: &str, out: &mut String) {
    out.push_str(&code[..name.start]);
    out.push_str(with);
    out.push_str(&code[name.end..]);
}

/// The tokens of a piece of code: strings, names and numbers, operators of one or two characters.
fn tokens(code: &str) -> Vec<Range<usize>> {
    let mut tokens = Vec::new();
    let end = code.len().saturating_sub(2);
    // A sign behind the opening bracket controls blanks and is no operator.
    let mut at = 2 + usize::from(code[2..].starts_with(['-', '+']));
    while at < end {
        let rest = &code[at..];
        let Some(first) = rest.chars().next() else { break };
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '"' | '\'' => string_length(rest).unwrap_or(rest.len()),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            _ if ["**", "//", "==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            tokens.push(at..at + length);
        }
        at += length;
    }
    tokens
}

/// Copies code with `left % right` as `(left)|percent(right)`. Where arithmetic of the same rank
/// stands before or a power behind, the operator stays: it is between numbers.
fn percents(code: &str, out: &mut String) {
    let ranges = tokens(code);
    let words: Vec<&str> = ranges.iter().map(|range| &code[range.clone()]).collect();
    if words.iter().filter(|&&word| word == "%").count() > MAX_PERCENTS {
        return out.push_str(code);
    }
    let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
    for at in (0..words.len()).filter(|&at| words[at] == "%") {
        let (Some(first), Some(last)) = (operand_start(&words[..at]), operand_end(&words, at + 1)) else { continue };
        let before = first.checked_sub(1).map_or("", |before| words[before]);
        if matches!(before, "*" | "/" | "//" | "%" | "**" | "-") || words.get(last + 1) == Some(&"**") {
            continue;
        }
        let (left, right) = (ranges[first].start, ranges[last].end);
        edits.push((left..left, "("));
        edits.push((ranges[at].clone(), ")|percent("));
        edits.push((right..right, ")"));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut copied = 0;
    for (range, with) in edits {
        out.push_str(&code[copied..range.start]);
        out.push_str(with);
        copied = range.end;
    }
    out.push_str(&code[copied..]);
}

fn is_operand(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '\'')) && !KEYWORDS.contains(&word)
}

/// The first token of the operand that ends with the last of `words`: a literal, name or bracket
/// with its attributes, calls and filters.
fn operand_start(words: &[&str]) -> Option<usize> {
    let mut at = words.len().checked_sub(1)?;
    loop {
        let bracket = matches!(words[at], ")" | "]" | "}");
        if bracket {
            let mut depth = 0;
            at = (0..=at).rev().find(|&at| {
                match words[at] {
                    ")" | "]" | "}" => depth += 1,
                    "(" | "[" | "{" => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
        } else if !is_operand(words[at]) {
            return None;
        }
        let Some(before) = at.checked_sub(1) else { return Some(at) };
        at = match words[before] {
            "." | "|" => before.checked_sub(1)?,
            word if matches!(words[at], "(" | "[") && (is_operand(word) || matches!(word, ")" | "]")) => before,
            _ => return Some(at),
        };
    }
}

/// The last token of the operand that begins at `at`.
fn operand_end(words: &[&str], mut at: usize) -> Option<usize> {
    while matches!(*words.get(at)?, "-" | "+") {
        at += 1;
    }
    if !is_operand(words[at]) && !matches!(words[at], "(" | "[" | "{") {
        return None;
    }
    loop {
        if matches!(words[at], "(" | "[" | "{") {
            let mut depth = 0;
            at = (at..words.len()).find(|&at| {
                match words[at] {
                    "(" | "[" | "{" => depth += 1,
                    ")" | "]" | "}" => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
        }
        match words.get(at + 1) {
            Some(&("." | "|")) if words.get(at + 2).is_some_and(|word| is_operand(word)) => at += 2,
            Some(&("(" | "[")) => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn generation_tags_are_blocks() {
        let cases = [
            ("a {%- generation -%} b {% endgeneration %} c", "a {%- if true -%} b {% endif %} c"),
            (
                "{% generation_x %}{{ generation }}{% set generation %}{%",
                "{% generation_x %}{{ generation }}{% set generation %}{%",
            ),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{# {% generation %} #}{{ '{% generation %}' }}", "{# {% generation %} #}{{ '{% generation %}' }}"),
        ];
        for (source, expected) in cases {
            assert_eq!(prepare(source), expected);
        }
    }

    #[test]
    fn percent_becomes_a_filter() {
        let cases = [
            ("{{ '%s' % x }}", "{{ ('%s' )|percent( x) }}"),
            ("{{ a.b[0](c)|d(e) % (f, g) ~ h }}", "{{ (a.b[0](c)|d(e) )|percent( (f, g)) ~ h }}"),
            ("{%- if i % 2 == 0 -%}", "{%- if (i )|percent( 2) == 0 -%}"),
            (
                "{{ 'a%s' % 'b' + 'c%s' % d.e(f % 2) }}",
                "{{ ('a%s' )|percent( 'b') + ('c%s' )|percent( d.e((f )|percent( 2))) }}",
            ),
            ("{{ not (a) % {'b': {}} }}", "{{ not ((a) )|percent( {'b': {}}) }}"),
            (
                "{{ 2 * a % b }}{{ -a % b }}{{ a % b ** 2 }}{{ a % }}",
                "{{ 2 * a % b }}{{ -a % b }}{{ a % b ** 2 }}{{ a % }}",
            ),
            (
                "50 % of {# a % b #}{% raw %}{{ a % b }}{% endraw %}",
                "50 % of {# a % b #}{% raw %}{{ a % b }}{% endraw %}",
            ),
            ("{{- '%s' % x -}}", "{{- ('%s' )|percent( x) -}}"),
            ("{{ 'unclosed % }}", "{{ 'unclosed % }}"),
        ];
        for (source, expected) in cases {
            assert_eq!(prepare(source), expected);
        }
    }

    #[test]
    fn literals_are_those_of_the_code() {
        let source = r#"'no' {{ "a" ~ 'b\n' }}{% if x == '<|y|>' %}{# 'no' #}{{ 'é\t' }}"#;
        assert_eq!(literals(source), ["a", "b\n", "<|y|>"]);
    }
}
