//! Python's operator `%`, as a filter: [`super::source`] rewrites the operator.

#![forbid(unsafe_code)]

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::strings::charge_widths;

/// `left % right`: a string with `right` (all values of a tuple, the keys of a dictionary) in the
/// places of its directives, or the remainder of a division that rounds down.
pub(super) fn percent(state: &mut State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(format) = left.as_str() {
        charge_widths(state, format)?;
        let mut arguments = vec![left.clone()];
        match right.downcast_object_ref::<Tuple>() {
            Some(tuple) => arguments.extend(tuple.iter().cloned()),
            None if right.kind() == ValueKind::Map && format.contains("%(") => {
                let pairs: Result<Vec<(String, Value)>, Error> =
                    right.try_iter()?.map(|key| Ok((key.to_string(), right.get_item(&key)?))).collect();
                arguments.push(Value::from(Kwargs::from_iter(pairs?)));
            }
            None => arguments.push(right.clone()),
        }
        return state.apply_filter("format", &arguments);
    }
    let remainder = if left.kind() == ValueKind::Undefined || right.kind() == ValueKind::Undefined {
        None
    } else if let (Ok(left), Ok(right)) = (i128::try_from(left.clone()), i128::try_from(right.clone())) {
        left.checked_rem(right)
            .map(|rest| Value::from(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest }))
    } else if let (Ok(left), Ok(right)) = (f64::try_from(left.clone()), f64::try_from(right.clone())) {
        let rest = left % right;
        let rest = if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest };
        (right != 0.0).then(|| Value::from(rest))
    } else {
        None
    };
    remainder.ok_or_else(|| {
        let message = format!("cannot calculate {} % {}", left.kind(), right.kind());
        Error::new(ErrorKind::InvalidOperation, message)
    })
}
