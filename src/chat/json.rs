//! The `tojson` filter as Hugging Face defines it: Python's `json.dumps`, which is not HTML-safe
//! and puts blanks after `,` and `:`.

#![forbid(unsafe_code)]

use std::fmt::{Display, Write as _};
use std::io;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize as _;
use serde_json::Value as Json;
use serde_json::ser::{Formatter, Serializer};

use super::guard::Guard;
use super::metering::MAX_DEPTH;
use super::strings::charge;

/// Wider indentation than this is refused: it multiplies what a template can write.
const MAX_INDENT: usize = 16;

/// What `tojson` takes, in the order in which it takes them without names.
const PARAMETERS: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];

/// `value | tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
pub(super) fn to_json(
    state: &State<'_, '_>,
    value: &Value,
    places: Rest<Value>,
    named: Kwargs,
    guard: &Guard,
) -> Result<Value, Error> {
    if places.len() > PARAMETERS.len() {
        return Err(invalid("takes four options"));
    }
    let argument = |place: usize| -> Result<Option<Value>, Error> {
        let given = match places.get(place) {
            Some(value) => Some(value.clone()),
            None => named.get(PARAMETERS[place])?,
        };
        Ok(given.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let is_set = |place: usize| Ok::<_, Error>(argument(place)?.is_some_and(|value| value.is_true()));
    let (ensure_ascii, sort_keys) = (is_set(0)?, is_set(3)?);
    let indent = argument(1)?.map(|width| indentation(&width)).transpose()?;
    let (item, key) = match argument(2)? {
        Some(pair) => separators(&pair)?,
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    named.assert_all_used()?;

    let mut tree = tree(state, value, 0)?;
    if sort_keys {
        tree.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let style = PythonStyle { item, key, indent, depth: 0, empty: true };
    tree.serialize(&mut Serializer::with_formatter(&mut bytes, style)).map_err(invalid)?;
    // The engine pays for the value once it is there; sorting and escaping cost as much again.
    charge(state, bytes.len())?;
    let text = String::from_utf8(bytes).map_err(invalid)?;
    Ok(Value::from(if ensure_ascii { escape_non_ascii(&text, guard) } else { text }))
}

/// `value` as JSON. Lists that hold each other can have many more leaves than they take memory, so
/// every leaf costs fuel before it is there.
fn tree(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<Json, Error> {
    state.consume_fuel(1)?;
    if depth > MAX_DEPTH {
        return Err(invalid(format_args!("lists and objects lie more than {MAX_DEPTH} deep in each other")));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| tree(state, &item, depth + 1)).collect::<Result<Vec<_>, _>>().map(Json::Array)
        }
        ValueKind::Map => {
            let pair = |key: Value| {
                let name = match key.kind() {
                    ValueKind::String => key.to_string(),
                    // Python writes null, true and numbers as keys too.
                    _ => serde_json::to_string(&key).map_err(invalid)?,
                };
                Ok((name, tree(state, &value.get_item(&key)?, depth + 1)?))
            };
            value.try_iter()?.map(pair).collect::<Result<_, Error>>().map(Json::Object)
        }
        _ => serde_json::to_value(value).map_err(invalid),
    }
}

fn invalid(error: impl Display) -> Error {
    Error::new(ErrorKind::BadSerialization, format!("tojson: {error}"))
}

/// `indent` as a number of blanks, or as a text.
fn indentation(indent: &Value) -> Result<String, Error> {
    let text = match indent.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let width = i64::try_from(indent.clone())?.max(0);
            " ".repeat(width.min(MAX_INDENT as i64 + 1) as usize)
        }
    };
    if text.len() > MAX_INDENT {
        return Err(invalid(format_args!("indent {indent} is over {MAX_INDENT}")));
    }
    Ok(text)
}

fn separators(pair: &Value) -> Result<(String, String), Error> {
    let parts: Vec<Value> = pair.try_iter()?.collect();
    match parts.iter().map(Value::as_str).collect::<Vec<_>>()[..] {
        [Some(item), Some(key)] if item.len() + key.len() <= MAX_INDENT => Ok((item.to_owned(), key.to_owned())),
        _ => Err(invalid("separators are two short strings")),
    }
}

/// `json.dumps`: items apart by `item`, keys from values by `key`, on lines of their own with
/// `indent`.
struct PythonStyle {
    item: String,
    key: String,
    indent: Option<String>,
    depth: usize,
    /// Nothing was written yet into the innermost list or object.
    empty: bool,
}

impl PythonStyle {
    fn begin<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: u8) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(&[bracket])
    }

    fn next<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.new_line(writer)
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: u8) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.new_line(writer)?;
        }
        self.empty = false;
        writer.write_all(&[bracket])
    }

    fn new_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }
}

impl Formatter for PythonStyle {
    /// Python's `repr`: exponents have a sign and two digits, and begin at 1e16 and below 1e-4.
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            return write!(writer, "{digits}e{exponent:+03}");
        }
        write!(writer, "{value:?}")
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b'[')
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b']')
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b'{')
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b'}')
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}

/// JSON has characters beyond ASCII in strings only, so all of them can be escaped. Stand-ins of
/// the guard are treated as what they stand for.
fn escape_non_ascii(json: &str, guard: &Guard) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let meant = guard.sign(c).unwrap_or(c);
        if meant.is_ascii() {
            out.push(c);
        } else {
            for unit in meant.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}
