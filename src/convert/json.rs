//! A JSON object of a checkpoint, with getters that say what they expected.

#![forbid(unsafe_code)]

use crate::error::Result;
use serde_json::{Map, Value};

/// The largest size, count or token id that is believed: far above any model that fits a page.
pub(super) const MAX_SIZE: u64 = 1 << 20;

/// The object in one file, or an object inside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Json {
    /// What messages call it: the file's name, and the key inside.
    place: String,
    values: Map<String, Value>,
}

impl Json {
    /// Parses the text of the file `name`.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let values = serde_json::from_str(text).map_err(|error| err!(Malformed, "{name}: {error}"))?;
        Ok(Self { place: name.to_owned(), values })
    }

    /// The value of `key`; null is as good as none.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// The value of `key` if `convert` takes it.
    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(value) => Ok(Some(value)),
            None => bail!(Malformed, "{}: {key} is {value}, expected {expected}", self.place),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &str) -> Result<Option<u32>> {
        let expected = format!("a whole number up to {MAX_SIZE}");
        self.typed(key, &expected, |value| value.as_u64().filter(|&size| size <= MAX_SIZE).map(|size| size as u32))
    }

    /// A positive whole number.
    pub(super) fn size(&self, key: &str) -> Result<Option<u32>> {
        match self.integer(key)? {
            Some(0) => bail!(Malformed, "{}: {key} is 0", self.place),
            size => Ok(size),
        }
    }

    /// A positive whole number that must be there.
    pub(super) fn require_size(&self, key: &str) -> Result<u32> {
        self.size(key)?.ok_or_else(|| err!(Malformed, "{}: {key} is missing", self.place))
    }

    /// A positive number.
    pub(super) fn number(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a positive number", |value| {
            value.as_f64().map(|number| number as f32).filter(|number| number.is_finite() && *number > 0.0)
        })
    }

    /// A positive number that must be there.
    pub(super) fn require_number(&self, key: &str) -> Result<f32> {
        self.number(key)?.ok_or_else(|| err!(Malformed, "{}: {key} is missing", self.place))
    }

    /// A list of positive numbers that must be there.
    pub(super) fn require_numbers(&self, key: &str) -> Result<Vec<f32>> {
        let number = |value: &Value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite() && *x > 0.0);
        let all = |value: &Value| value.as_array()?.iter().map(number).collect();
        let found = self.typed(key, "a list of positive numbers", all)?;
        found.ok_or_else(|| err!(Malformed, "{}: {key} is missing", self.place))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A list of strings; empty without the key.
    pub(super) fn strings(&self, key: &str) -> Result<Vec<String>> {
        let all = |value: &Value| value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect();
        Ok(self.typed(key, "a list of strings", all)?.unwrap_or_default())
    }

    /// An id or a list of ids; empty without the key.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let id = |value: &Value| value.as_u64().filter(|&id| id <= MAX_SIZE).map(|id| id as u32);
        let all = |value: &Value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        Ok(self.typed(key, "a token id or a list of them", all)?.unwrap_or_default())
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>> {
        let found = self.typed(key, "an object", Value::as_object)?;
        Ok(found.map(|values| Self { place: format!("{}: {key}", self.place), values: values.clone() }))
    }
}
