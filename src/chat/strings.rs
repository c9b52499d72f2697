//! The methods of Python's `str` that `minijinja_contrib` does not have, or has without their
//! optional arguments.

#![forbid(unsafe_code)]

use minijinja::value::{Kwargs, Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// Fuel pays for 64 bytes a unit, as in the engine itself.
pub(super) const BYTES_PER_FUEL: usize = 64;

/// Calls `method` of the string `text`; `None` for a method that is left to `minijinja_contrib`.
pub(super) fn call(state: &State<'_, '_>, text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match method {
        "title" => no_arguments(args, || title(text)),
        "swapcase" => no_arguments(args, || text.chars().flat_map(swap_case).collect()),
        "casefold" => no_arguments(args, || text.chars().flat_map(fold_case).collect()),
        "removeprefix" => one_string(args, |prefix| text.strip_prefix(prefix).unwrap_or(text).into()),
        "removesuffix" => one_string(args, |suffix| text.strip_suffix(suffix).unwrap_or(text).into()),
        "partition" => partition(text, args, Side::Left),
        "rpartition" => partition(text, args, Side::Right),
        "split" => split(text, args, Side::Left),
        "rsplit" => split(text, args, Side::Right),
        "ljust" => justify(state, text, args, |missing| (0, missing)),
        "rjust" => justify(state, text, args, |missing| (missing, 0)),
        // CPython puts the odd blank of a centered text on the left only where the width is odd.
        "center" => justify(state, text, args, |missing| {
            let width = missing + text.chars().count();
            let left = missing / 2 + (missing & width & 1);
            (left, missing - left)
        }),
        "zfill" => zero_fill(state, text, args),
        "find" => search(text, args, Side::Left).map(|found| found.map_or(-1, |at| at as i64).into()),
        "rfind" => search(text, args, Side::Right).map(|found| found.map_or(-1, |at| at as i64).into()),
        "index" => search(text, args, Side::Left).and_then(found),
        "rindex" => search(text, args, Side::Right).and_then(found),
        "count" if args.len() > 1 => window(text, args).map(|(part, what, _)| {
            match what {
                "" => part.chars().count() + 1,
                what => part.matches(what).count(),
            }
            .into()
        }),
        "format" => charge_widths(state, text).and_then(|()| {
            minijinja::formatting::format(minijinja::formatting::FormatStyle::StrFormat, text, args).map(Value::from)
        }),
        _ => return None,
    })
}

/// Pays for `bytes` bytes before they are made.
pub(super) fn charge(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// Pays for the widths and precisions that stand in a format string, all of its numbers.
pub(super) fn charge_widths(state: &State<'_, '_>, format: &str) -> Result<(), Error> {
    let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let bytes = numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    charge(state, bytes)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn no_arguments(args: &[Value], make: impl FnOnce() -> String) -> Result<Value, Error> {
    let () = from_args(args)?;
    Ok(make().into())
}

fn one_string(args: &[Value], make: impl FnOnce(&str) -> String) -> Result<Value, Error> {
    let (argument,): (&str,) = from_args(args)?;
    Ok(make(argument).into())
}

/// `str.title`: a capital after anything that is no letter.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphabetic();
    }
    out
}

fn swap_case(c: char) -> impl Iterator<Item = char> {
    let (lower, upper) = (c.is_uppercase(), c.is_lowercase());
    let lower = lower.then(|| c.to_lowercase()).into_iter().flatten();
    let upper_case = upper.then(|| c.to_uppercase()).into_iter().flatten();
    let same = (!c.is_uppercase() && !upper).then_some(c);
    lower.chain(upper_case).chain(same)
}

/// Unicode's full case folding: the lower case of the upper case, with the exceptions of
/// CaseFolding.txt (dotless i; Cherokee, which folds to capitals).
fn fold_case(c: char) -> Vec<char> {
    match c {
        'ı' | '\u{13a0}'..='\u{13f5}' => vec![c],
        '\u{13f8}'..='\u{13fd}' | '\u{ab70}'..='\u{abbf}' => c.to_uppercase().collect(),
        _ => c.to_uppercase().flat_map(char::to_lowercase).collect(),
    }
}

/// Which end of a text comes first.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

fn partition(text: &str, args: &[Value], side: Side) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    let (cut, absent) = match side {
        Side::Left => (text.split_once(separator), [text, "", ""]),
        Side::Right => (text.rsplit_once(separator), ["", "", text]),
    };
    let parts = cut.map_or(absent, |(before, after)| [before, separator, after]);
    Ok(Tuple::from(parts.map(Value::from)).into())
}

/// `split` and `rsplit`, with their arguments by place or by name.
fn split(text: &str, args: &[Value], side: Side) -> Result<Value, Error> {
    let (separator, limit, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(named.get("sep")?).filter(|separator| !separator.is_none());
    let limit = limit.or(named.get("maxsplit")?).and_then(|limit| usize::try_from(limit).ok());
    named.assert_all_used()?;
    let mut parts: Vec<&str> = Vec::new();
    match separator {
        None => split_blanks(text, limit.unwrap_or(usize::MAX), side, &mut parts),
        Some(separator) => {
            let Some(separator) = separator.as_str().filter(|separator| !separator.is_empty()) else {
                return Err(invalid("a separator is a string that is not empty"));
            };
            let pieces = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
            match side {
                Side::Left => parts.extend(text.splitn(pieces, separator)),
                Side::Right => parts.extend(text.rsplitn(pieces, separator)),
            }
        }
    }
    if side == Side::Right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Words between blanks, at most `limit` of them cut off; what is left over loses the blanks at the
/// side of the cuts only.
fn split_blanks<'a>(text: &'a str, limit: usize, side: Side, parts: &mut Vec<&'a str>) {
    let mut rest = text;
    loop {
        rest = match side {
            Side::Left => rest.trim_start(),
            Side::Right => rest.trim_end(),
        };
        if rest.is_empty() {
            return;
        }
        let cut = match side {
            _ if parts.len() == limit => None,
            Side::Left => rest.split_once(char::is_whitespace),
            Side::Right => rest.rsplit_once(char::is_whitespace).map(|(before, word)| (word, before)),
        };
        let (word, others) = cut.unwrap_or((rest, ""));
        // The last piece keeps its blanks, unless there is nothing else in it.
        parts.push(word);
        rest = others;
    }
}

fn justify(
    state: &State<'_, '_>,
    text: &str,
    args: &[Value],
    sides: impl FnOnce(usize) -> (usize, usize),
) -> Result<Value, Error> {
    let (width, fill): (i64, Option<&str>) = from_args(args)?;
    let fill = fill.unwrap_or(" ");
    if fill.chars().count() != 1 {
        return Err(invalid("the fill character must be exactly one character long"));
    }
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    charge(state, missing.saturating_mul(fill.len()))?;
    let (left, right) = sides(missing);
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(right)).into())
}

fn zero_fill(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (width,): (i64,) = from_args(args)?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    charge(state, missing)?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(missing)).into())
}

/// The part of `text` between the optional second and third argument, the first argument, and the
/// characters before the part.
fn window<'t, 'a>(text: &'t str, args: &'a [Value]) -> Result<(&'t str, &'a str, usize), Error> {
    let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let length = text.chars().count();
    // An `i64` may be more than a size of 32 bits.
    let size = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let place = |at: i64| match u64::try_from(at) {
        Ok(at) => size(at).min(length),
        Err(_) => length.saturating_sub(size(at.unsigned_abs())),
    };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(i64::MAX)));
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    Ok((&text[byte(start)..byte(end.max(start))], what, start))
}

/// The first or last place of the first argument in `text`, in characters.
fn search(text: &str, args: &[Value], side: Side) -> Result<Option<usize>, Error> {
    let (part, what, before) = window(text, args)?;
    let found = match side {
        Side::Left => part.find(what),
        Side::Right => part.rfind(what),
    };
    Ok(found.map(|at| before + part[..at].chars().count()))
}

fn found(place: Option<usize>) -> Result<Value, Error> {
    place.map(Value::from).ok_or_else(|| invalid("substring not found"))
}
