//! The methods of Python's `list` and `dict` that read and that `minijinja_contrib` does not have.
//! Those that write are closed in Hugging Face's sandbox too.

#![forbid(unsafe_code)]

use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, Value};

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
