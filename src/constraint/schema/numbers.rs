//! Numbers: bounds that are exact, and what is asked of them.

#![forbid(unsafe_code)]

use super::refuse;
use crate::error::Result;
use serde_json::{Map, Value};

/// The largest integer that every JSON parser keeps exact: 2^53 - 1 (RFC 8259, section 6).
const LARGEST: i64 = (1 << 53) - 1;
/// Numbers nearer to 0 are refused: their digits would fill the answer.
const SMALLEST: f64 = 1e-9;

/// Refuses a number that cannot be written out exactly.
pub(super) fn check(pointer: &str, value: &Value) -> Result<f64> {
    let number = value.as_f64().unwrap_or(f64::NAN);
    if !(-(LARGEST as f64)..=LARGEST as f64).contains(&number) || number != 0.0 && number.abs() < SMALLEST {
        return Err(refuse(
            pointer,
            format_args!("the number {value} is not enforced: use one between ±{SMALLEST} and ±(2^53 - 1)"),
        ));
    }
    Ok(number)
}

/// Copies the keywords of numbers from `schema` to `out`, with bounds where there are none.
/// `integer` says that nothing but integers may come; `combined` that other schemas add to this
/// one.
pub(super) fn copy(
    pointer: &str,
    schema: &Map<String, Value>,
    integer: bool,
    combined: bool,
    out: &mut Map<String, Value>,
) -> Result<()> {
    let number = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        Some(value) if value.is_number() => check(&format!("{pointer}/{keyword}"), value).map(Some),
        Some(value) => {
            Err(refuse(&format!("{pointer}/{keyword}"), format_args!("`{keyword}` is {value}; it must be a number")))
        }
    };
    let [minimum, maximum, above, below, multiple] =
        ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"].map(number);
    let (minimum, maximum, above, below, multiple) = (minimum?, maximum?, above?, below?, multiple?);
    if let Some(multiple) = multiple {
        let pointer = format!("{pointer}/multipleOf");
        if multiple <= 0.0 {
            return Err(refuse(&pointer, "`multipleOf` must be greater than 0"));
        }
        // llguidance counts in 32 bits.
        let digits = format!("{multiple}").replace('.', "");
        if combined || digits.trim_start_matches('0').len() > 9 {
            let advice = "use one of at most nine digits, in a schema that `allOf` and `$ref` do not add to";
            return Err(refuse(&pointer, format_args!("`multipleOf` {multiple} is not enforced here: {advice}")));
        }
    }
    if !integer && (above.is_some() || below.is_some()) {
        let low = above.into_iter().chain(minimum).reduce(f64::max);
        let high = below.into_iter().chain(maximum).reduce(f64::min);
        let keyword = if above.is_some() { "exclusiveMinimum" } else { "exclusiveMaximum" };
        let one_part = |low: f64, high: f64| low.trunc() == high.trunc();
        // Between two bounds of one whole part llguidance 1.9 lets an excluded bound through.
        if combined || low.zip(high).is_some_and(|(low, high)| one_part(low, high)) {
            let advice = "use `minimum` or `maximum`, or `type: \"integer\"`";
            return Err(refuse(
                &format!("{pointer}/{keyword}"),
                format_args!("`{keyword}` is not enforced beside these bounds: {advice}"),
            ));
        }
    }
    for keyword in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"] {
        if let Some(value) = schema.get(keyword) {
            out.insert(keyword.to_owned(), value.clone());
        }
    }
    if minimum.is_none() && above.is_none() {
        out.insert("minimum".to_owned(), (-LARGEST).into());
    }
    if maximum.is_none() && below.is_none() {
        out.insert("maximum".to_owned(), LARGEST.into());
    }
    Ok(())
}
