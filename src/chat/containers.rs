//! The methods of Python's `list` and `dict` that read and that `minijinja_contrib` does not have.
//! Those that write are closed in Hugging Face's sandbox too.

#![forbid(unsafe_code)]

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// Lists and dictionaries within each other that are written.
pub(super) const MAX_DEPTH: usize = 100;

/// Pays for all that a value holds before it is written. Lists that hold each other can have many
/// more leaves than they take memory.
pub(super) fn charge(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    charge_at(state, value, 0)
}

fn charge_at(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    let kind = value.kind();
    if !matches!(kind, ValueKind::Seq | ValueKind::Map) {
        return Ok(());
    }
    if depth > MAX_DEPTH {
        let message = format!("lists and dictionaries lie more than {MAX_DEPTH} deep in each other");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    for item in value.try_iter()? {
        state.consume_fuel(1)?;
        let item = if kind == ValueKind::Map { value.get_item(&item)? } else { item };
        charge_at(state, &item, depth + 1)?;
    }
    Ok(())
}

/// Calls `method` of a container; `None` for a method that is left to `minijinja_contrib`.
pub(super) fn call(value: &Value, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    match (value.kind(), method) {
        (ValueKind::Seq | ValueKind::Map, "copy") => Some(from_args(args).map(|()| value.clone())),
        (ValueKind::Seq, "index") => Some(index(value, args)),
        _ => None,
    }
}

fn index(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (what,): (&Value,) = from_args(args)?;
    let place = list.try_iter()?.position(|item| item == *what);
    place.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("{what} is not in the list")))
}
