//! The metadata of a file, in its order, and getters that say what they expected.

#![forbid(unsafe_code)]

use super::value::{Array, Value};
use crate::error::Result;
use std::collections::BTreeMap;

/// Metadata pairs: keys are unique, their order is that of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    pairs: Vec<(String, Value)>,
    /// Where a key is in `pairs`.
    places: BTreeMap<String, usize>,
}

/// One row a getter: names, what they return, the expectation as words, and how a value becomes it.
macro_rules! getters {
    ($($get:ident $require:ident -> $ty:ty, $expected:literal, $convert:expr;)+) => {
        $(
            #[doc = concat!("The value of `key` as ", $expected, ", or `None` without that key. Another kind is `malformed`.")]
            pub fn $get(&self, key: &str) -> Result<Option<$ty>> {
                let Some(value) = self.get(key) else { return Ok(None) };
                let convert: fn(&Value) -> Option<$ty> = $convert;
                match convert(value) {
                    Some(converted) => Ok(Some(converted)),
                    None => bail!(Malformed, "metadata key {key} is {}, expected {}", value.found(), $expected),
                }
            }

            #[doc = concat!("As [`Metadata::", stringify!($get), "`], but a missing key is `malformed` too.")]
            pub fn $require(&self, key: &str) -> Result<$ty> {
                match self.$get(key)? {
                    Some(value) => Ok(value),
                    None => bail!(Malformed, "metadata key {key} is missing, expected {}", $expected),
                }
            }
        )+
    };
}

impl Metadata {
    /// How many pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.places.get(key).map(|place| &self.pairs[*place].1)
    }

    /// The pairs in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Sets `key` to `value`: appends the pair, or replaces and returns the value that the key had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(place) = self.places.get(&key) {
            return Some(std::mem::replace(&mut self.pairs[*place].1, value));
        }
        self.places.insert(key.clone(), self.pairs.len());
        self.pairs.push((key, value));
        None
    }

    getters! {
        u32 require_u32 -> u32, "an integer from 0 to 4294967295", |value| value.integer()?.try_into().ok();
        u64 require_u64 -> u64, "an integer of at least 0", |value| value.integer()?.try_into().ok();
        i64 require_i64 -> i64, "an integer that fits in 64 bits with sign", |value| value.integer()?.try_into().ok();
        f32 require_f32 -> f32, "a number", Value::float;
        i32s require_i32s -> Vec<i32>, "an array of integers that fit in 32 bits with sign",
            |value| array(value)?.integers();
        i64s require_i64s -> Vec<i64>, "an array of integers that fit in 64 bits with sign",
            |value| array(value)?.integers();
        u32s require_u32s -> Vec<u32>, "an array of integers from 0 to 4294967295", |value| array(value)?.integers();
        f32s require_f32s -> Vec<f32>, "an array of numbers", |value| array(value)?.floats();
        bool require_bool -> bool, "a bool", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        };
        string require_string -> &str, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        strings require_strings -> &[String], "an array of strings", |value| match value {
            Value::Array(Array::String(texts)) => Some(texts),
            _ => None,
        };
    }
}

fn array(value: &Value) -> Option<&Array> {
    match value {
        Value::Array(array) => Some(array),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;

    fn sample() -> Metadata {
        let mut metadata = Metadata::default();
        metadata.insert("count", 7i32);
        metadata.insert("below", -1i64);
        metadata.insert("name", "x");
        metadata.insert("scores", vec![0.5f64, 2.0]);
        metadata.insert("types", vec![1u8, 255]);
        metadata.insert("flag", true);
        metadata.insert("tokens", vec!["a".to_owned()]);
        metadata
    }

    #[test]
    fn getters_take_any_kind_that_fits() {
        let metadata = sample();
        assert_eq!(metadata.u32("count"), Ok(Some(7)));
        assert_eq!(metadata.u64("count"), Ok(Some(7)));
        assert_eq!(metadata.f32("count"), Ok(Some(7.0)));
        assert_eq!(metadata.string("name"), Ok(Some("x")));
        assert_eq!(metadata.f32s("scores"), Ok(Some(vec![0.5, 2.0])));
        assert_eq!(metadata.f32s("types"), Ok(Some(vec![1.0, 255.0])));
        assert_eq!(metadata.i32s("types"), Ok(Some(vec![1, 255])));
        assert_eq!(metadata.require_bool("flag"), Ok(true));
        assert_eq!(metadata.require_strings("tokens"), Ok(&["a".to_owned()][..]));
        assert_eq!(metadata.u32s("absent"), Ok(None));
    }

    #[test]
    fn rejects_wrong_kinds_by_key_and_kind() {
        let metadata = sample();
        for (error, words) in [
            (metadata.u32("below").unwrap_err(), "key below is the i64 -1, expected an integer from 0"),
            (metadata.f32("name").unwrap_err(), "key name is a string, expected a number"),
            (metadata.strings("types").unwrap_err(), "key types is an array of 2 u8, expected an array of strings"),
            (metadata.u32s("scores").unwrap_err(), "key scores is an array of 2 f64, expected an array of integers"),
            (metadata.bool("count").unwrap_err(), "key count is the i32 7, expected a bool"),
            (metadata.require_string("absent").unwrap_err(), "key absent is missing, expected a string"),
        ] {
            assert_eq!(error.code(), ErrorCode::Malformed, "{error}");
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[test]
    fn insert_replaces_in_place() {
        let mut metadata = sample();
        assert_eq!(metadata.insert("name", "y"), Some("x".into()));
        assert_eq!(metadata.iter().nth(2), Some(("name", &"y".into())));
        assert_eq!(metadata.len(), 7);
    }
}
