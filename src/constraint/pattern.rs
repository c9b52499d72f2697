//! Regular expressions of JSON Schema, which are ECMAScript's, in the syntax of the crate `regex`.
//!
//! The two differ silently in a few places: what `.` and `\s` match, and what stands for itself in
//! a class. What ECMAScript has and a finite automaton cannot do is refused later, by that crate.

#![forbid(unsafe_code)]

/// What `\s` matches in both languages alike, and what one of them adds.
const SPACES: &str = r"\t\n\u{B}\f\r \u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}";
const MORE_SPACES: &str = r"\u{85}\u{FEFF}";

/// Translates an expression.
///
/// # Errors
///
/// Says what of it cannot be enforced.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars().peekable();
    let mut class = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                None => return Err("ends with a backslash".to_owned()),
                Some('s') if class => out.push_str(SPACES),
                Some('s') => out.extend(["[", SPACES, "]"]),
                Some('S') => out.extend(["[^", SPACES, MORE_SPACES, "]"]),
                Some('b') if class => out.push_str(r"\u{8}"),
                Some(c @ ('b' | 'B')) => return Err(format!("has `\\{c}`, which is not enforced")),
                Some('0') => out.push_str(r"\u{0}"),
                Some(c @ '1'..='9') => return Err(format!("has a reference back, `\\{c}`, which is not enforced")),
                Some('c') => match characters.next().filter(char::is_ascii_alphabetic) {
                    Some(letter) => out.push_str(&format!(r"\u{{{:X}}}", letter as u32 % 32)),
                    None => return Err("has `\\c` without a letter".to_owned()),
                },
                Some(c) if c.is_ascii_punctuation() || c.is_ascii_alphanumeric() => out.extend(['\\', c]),
                Some(c) => out.push(c),
            },
            '[' if !class => {
                class = true;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    out.push('^');
                }
                match characters.peek() {
                    Some(']') if out.ends_with('^') => {
                        // Everything.
                        characters.next();
                        out.truncate(out.len() - 2);
                        out.push_str("(?s:.)");
                        class = false;
                    }
                    Some(']') => return Err("has an empty class, which matches nothing".to_owned()),
                    _ => {}
                }
            }
            ']' => {
                class = false;
                out.push(']');
            }
            '[' | '&' | '~' if class => out.extend(['\\', c]),
            '.' if !class => out.push_str(r"[^\n\r\u{2028}\u{2029}]"),
            '(' if !class => {
                let rest: String = characters.clone().take(3).collect();
                if ["?=", "?!", "?<=", "?<!"].iter().any(|look| rest.starts_with(look)) {
                    return Err("looks around, which is not enforced".to_owned());
                }
                out.push('(');
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
