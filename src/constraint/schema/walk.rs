//! The walk over a schema: see the module above.

#![forbid(unsafe_code)]

use super::keywords::{ANNOTATIONS, DRAFTS, ENFORCED, FORMATS, MORE_ANNOTATIONS, advice};
use super::{Schema, numbers, refuse};
use crate::constraint::pattern;
use crate::error::Result;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reference to the root of the schema.
pub(super) const ROOT: &str = "#/$defs/0";
/// Reference to the definition of all JSON.
const ANY: &str = "#/$defs/any";
/// Levels of subschemas.
const DEEPEST: usize = 64;
/// Subschemas.
const MOST_SCHEMAS: usize = 20_000;

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// A schema half read.
pub(super) struct Walk<'a> {
    root: &'a Value,
    /// Targets of references, by their pointers, with their numbers.
    targets: BTreeMap<String, usize>,
    /// Targets to be read.
    pending: Vec<(String, &'a Value)>,
    definitions: Map<String, Value>,
    parts: Vec<(String, Value)>,
    schemas: usize,
}

/// Where the walk is.
#[derive(Clone)]
struct Place {
    pointer: String,
    depth: usize,
    /// Whether other schemas apply to the same value.
    combined: bool,
}

impl Place {
    fn at(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"))
    }

    /// A subschema of another value.
    fn inner(&self, keyword: &str, key: &str) -> Self {
        let keyword = Self { pointer: self.at(keyword), ..self.clone() };
        let pointer = if key.is_empty() { keyword.pointer } else { keyword.at(key) };
        Self { pointer, depth: self.depth + 1, combined: false }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            targets: BTreeMap::from([("#".to_owned(), 0)]),
            pending: vec![("#".to_owned(), root)],
            definitions: Map::new(),
            parts: Vec::new(),
            schemas: 0,
        }
    }

    /// Reads the root and every target of a reference.
    pub(super) fn document(mut self) -> Result<Schema> {
        let mut number = 0;
        while number < self.pending.len() {
            let (pointer, schema) = self.pending[number].clone();
            let place = Place { pointer, depth: 0, combined: false };
            let schema = self.schema(&place, schema)?;
            self.definitions.insert(number.to_string(), schema);
            number += 1;
        }
        let mut bounds = Map::new();
        numbers::copy("#", &Map::new(), false, false, &mut bounds)?;
        bounds.insert("type".to_owned(), "number".into());
        let any = json!({ "anyOf": [
            { "type": ["null", "boolean", "string"] }, bounds,
            { "type": "array", "items": { "$ref": ANY } },
            { "type": "object", "additionalProperties": { "$ref": ANY } },
        ] });
        self.definitions.insert("any".to_owned(), any);
        self.parts.sort_by_key(|(pointer, _)| pointer.len());
        Ok(Schema { definitions: self.definitions, parts: self.parts })
    }

    fn schema(&mut self, place: &Place, schema: &'a Value) -> Result<Value> {
        let Place { pointer, depth, .. } = place;
        self.schemas += 1;
        if *depth > DEEPEST {
            bail!(
                BadOption,
                "option `responseFormat.schema`: at {pointer}: more than {DEEPEST} levels of schemas; use `$ref`"
            );
        }
        if self.schemas > MOST_SCHEMAS {
            bail!(BadOption, "option `responseFormat.schema`: more than {MOST_SCHEMAS} schemas");
        }
        let object = match schema {
            Value::Bool(true) => return Ok(json!({ "$ref": ANY })),
            Value::Bool(false) => return Ok(Value::Bool(false)),
            Value::Object(object) => object,
            other => {
                return Err(refuse(
                    pointer,
                    format_args!("{other} is no schema; it must be an object or true or false"),
                ));
            }
        };
        self.check_keywords(place, object)?;
        let applies = |keyword: &&&str| object.contains_key(**keyword);
        let in_place = ["$ref", "allOf", "anyOf", "oneOf", "const", "enum"];
        let others = ENFORCED.iter().filter(applies).count();
        if others == 0 {
            return Ok(json!({ "$ref": ANY }));
        }
        let place = &Place {
            combined: place.combined || others > 1 && in_place.iter().any(|keyword| object.contains_key(*keyword)),
            ..place.clone()
        };
        let mut out = Map::new();
        let types = self.types(place, object)?;
        if let Some(types) = &types {
            out.insert("type".to_owned(), if let [one] = &types[..] { (*one).into() } else { types.clone().into() });
        }
        // Keywords of a type that cannot come do nothing.
        let may_be = |kind: &'static str| types.as_ref().is_none_or(|types| types.contains(&kind));
        let literal = object.contains_key("const") || object.contains_key("enum");
        // A schema of references and cases alone says nothing itself.
        let open = types.is_none() && ENFORCED.iter().filter(applies).all(|keyword| in_place.contains(keyword));
        for (keyword, value) in object {
            self.in_place(place, keyword, value, &mut out)?;
        }
        if (may_be("number") || may_be("integer")) && !literal && !open {
            numbers::copy(&place.pointer, object, !may_be("number"), place.combined, &mut out)?;
        }
        if may_be("string") {
            self.string(place, object, &mut out)?;
        }
        if may_be("array") && !open {
            self.array(place, object, &mut out)?;
        }
        if may_be("object") && !open {
            self.object(place, object, &mut out)?;
        }
        let out = Value::Object(out);
        self.parts.push((place.pointer.clone(), out.clone()));
        Ok(out)
    }

    fn check_keywords(&self, place: &Place, object: &Map<String, Value>) -> Result<()> {
        for (keyword, value) in object {
            let keyword = keyword.as_str();
            if ENFORCED.contains(&keyword) || ANNOTATIONS.contains(&keyword) || MORE_ANNOTATIONS.contains(&keyword) {
                let inner = keyword == "$id" && place.pointer != "#";
                let draft = value.as_str().unwrap_or_default().trim_end_matches('#');
                if inner {
                    return Err(refuse(&place.at(keyword), "`$id` is read at the root only: leave it out"));
                }
                if keyword == "$schema" && !DRAFTS.contains(&draft) {
                    let known = DRAFTS.join(", ");
                    return Err(refuse(&place.at(keyword), format_args!("`$schema` is {value}; known are {known}")));
                }
                continue;
            }
            let advice = advice(keyword);
            return Err(refuse(&place.at(keyword), format_args!("`{keyword}` is not enforced: {advice}")));
        }
        Ok(())
    }

    /// `type` as a list.
    fn types(&self, place: &Place, object: &Map<String, Value>) -> Result<Option<Vec<&'static str>>> {
        let Some(value) = object.get("type") else { return Ok(None) };
        let one = |value: &Value| TYPES.into_iter().find(|name| value == name);
        let types: Option<Vec<_>> = match value {
            Value::Array(several) => several.iter().map(one).collect(),
            single => one(single).map(|name| vec![name]),
        };
        match types {
            Some(types) if !types.is_empty() => Ok(Some(types)),
            _ => Err(refuse(
                &place.at("type"),
                format_args!("`type` is {value}; it must be one or several of {}", TYPES.join(", ")),
            )),
        }
    }

    /// Keywords that apply to the same value.
    fn in_place(
        &mut self,
        place: &Place,
        keyword: &'a str,
        value: &'a Value,
        out: &mut Map<String, Value>,
    ) -> Result<()> {
        let pointer = place.at(keyword);
        let written = match (keyword, value) {
            ("$ref", Value::String(reference)) => self.reference(&pointer, reference)?,
            ("$ref", other) => return Err(refuse(&pointer, format_args!("`$ref` is {other}; it must be a string"))),
            ("allOf" | "anyOf" | "oneOf", Value::Array(cases)) if !cases.is_empty() => {
                let mut written = Vec::with_capacity(cases.len());
                for (index, case) in cases.iter().enumerate() {
                    let combined = place.combined || keyword == "allOf";
                    let place = Place { combined, ..place.inner(keyword, &index.to_string()) };
                    written.push(self.schema(&place, case)?);
                }
                Value::Array(written)
            }
            ("allOf" | "anyOf" | "oneOf", other) => {
                return Err(refuse(&pointer, format_args!("`{keyword}` is {other}; it must be a list of schemas")));
            }
            ("enum", Value::Array(values)) if !values.is_empty() => {
                for (index, value) in values.iter().enumerate() {
                    literal(&format!("{pointer}/{index}"), value)?;
                }
                value.clone()
            }
            ("enum", other) => {
                return Err(refuse(&pointer, format_args!("`enum` is {other}; it must be a list of values")));
            }
            ("const", value) => {
                literal(&pointer, value)?;
                value.clone()
            }
            _ => return Ok(()),
        };
        out.insert(keyword.to_owned(), written);
        Ok(())
    }

    /// The definition that a reference becomes one to.
    fn reference(&mut self, pointer: &str, reference: &str) -> Result<Value> {
        let Some(path) = reference.strip_prefix('#').filter(|path| path.is_empty() || path.starts_with('/')) else {
            return Err(refuse(
                pointer,
                format_args!("`$ref` {reference:?}: references within the schema only, `#/...`; nothing is fetched"),
            ));
        };
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let Some(target) = self.root.pointer(&decoded) else {
            return Err(refuse(pointer, format_args!("`$ref` {reference:?} points to nothing")));
        };
        let known = self.targets.len();
        let target_pointer = format!("#{decoded}");
        let number = *self.targets.entry(target_pointer.clone()).or_insert(known);
        if number == known {
            self.pending.push((target_pointer, target));
        }
        Ok(format!("#/$defs/{number}").into())
    }

    fn string(&self, place: &Place, object: &Map<String, Value>, out: &mut Map<String, Value>) -> Result<()> {
        counts(place, object, ["minLength", "maxLength"], out)?;
        if let Some(value) = object.get("pattern") {
            let pointer = place.at("pattern");
            let Some(regex) = value.as_str() else {
                return Err(refuse(&pointer, format_args!("`pattern` is {value}; it must be a string")));
            };
            out.insert(
                "pattern".to_owned(),
                pattern::translate(regex).map_err(|what| refuse(&pointer, format_args!("`pattern` {what}")))?.into(),
            );
        }
        if let Some(value) = object.get("format") {
            if !value.as_str().is_some_and(|name| FORMATS.contains(&name)) {
                let known = FORMATS.join(", ");
                return Err(refuse(
                    &place.at("format"),
                    format_args!("`format` {value} is not enforced; those that are: {known}"),
                ));
            }
            out.insert("format".to_owned(), value.clone());
        }
        Ok(())
    }

    fn array(&mut self, place: &Place, object: &'a Map<String, Value>, out: &mut Map<String, Value>) -> Result<()> {
        counts(place, object, ["minItems", "maxItems"], out)?;
        let old = matches!(object.get("items"), Some(Value::Array(_)));
        let (first, rest) = if old { ("items", "additionalItems") } else { ("prefixItems", "items") };
        match object.get(first) {
            None => {}
            Some(Value::Array(items)) => {
                let mut written = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    written.push(self.schema(&place.inner(first, &index.to_string()), item)?);
                }
                out.insert("prefixItems".to_owned(), written.into());
            }
            Some(other) => {
                return Err(refuse(
                    &place.at(first),
                    format_args!("`{first}` is {other}; it must be a list of schemas"),
                ));
            }
        }
        let rest = match object.get(rest) {
            None => json!({ "$ref": ANY }),
            Some(items) => self.schema(&place.inner(rest, ""), items)?,
        };
        out.insert("items".to_owned(), rest);
        Ok(())
    }

    fn object(&mut self, place: &Place, object: &'a Map<String, Value>, out: &mut Map<String, Value>) -> Result<()> {
        counts(place, object, ["minProperties", "maxProperties"], out)?;
        for keyword in ["properties", "patternProperties"] {
            let properties = match object.get(keyword) {
                None => continue,
                Some(Value::Object(properties)) => properties,
                Some(other) => {
                    return Err(refuse(
                        &place.at(keyword),
                        format_args!("`{keyword}` is {other}; it must be an object of schemas"),
                    ));
                }
            };
            let mut written = Map::new();
            for (name, schema) in properties {
                let inner = place.inner(keyword, name);
                let name = match keyword {
                    "patternProperties" => pattern::translate(name).map_err(|what| refuse(&inner.pointer, what))?,
                    _ => name.clone(),
                };
                let schema = self.schema(&inner, schema)?;
                written.insert(name, schema);
            }
            out.insert(keyword.to_owned(), written.into());
        }
        let mut required = Vec::new();
        match object.get("required") {
            None => {}
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                required.extend(names.iter().filter_map(Value::as_str));
                out.insert("required".to_owned(), names.clone().into());
            }
            Some(other) => {
                return Err(refuse(
                    &place.at("required"),
                    format_args!("`required` is {other}; it must be a list of names"),
                ));
            }
        }
        let additional = match object.get("additionalProperties") {
            None => json!({ "$ref": ANY }),
            Some(schema) => self.schema(&place.inner("additionalProperties", ""), schema)?,
        };
        let optional = out.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let all_required = optional.into_iter().all(|name| required.contains(&name.as_str()));
        for (keyword, enforced) in [
            // A name that is free may come twice.
            (
                "minProperties",
                object.get("minProperties").and_then(Value::as_u64).is_some_and(|least| least <= required.len() as u64),
            ),
            ("maxProperties", all_required),
        ] {
            if object.contains_key(keyword) && !(enforced && all_required) {
                let advice =
                    "it is where all of `properties` are in `required`, and `minProperties` is no more than those";
                return Err(refuse(&place.at(keyword), format_args!("`{keyword}` is not enforced here: {advice}")));
            }
        }
        out.insert("additionalProperties".to_owned(), additional);
        Ok(())
    }
}

/// Copies two keywords whose values are counts.
fn counts(place: &Place, object: &Map<String, Value>, keywords: [&str; 2], out: &mut Map<String, Value>) -> Result<()> {
    for keyword in keywords {
        let Some(value) = object.get(keyword) else { continue };
        // 2.0 is a count, too.
        let whole = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|count| count.fract() == 0.0 && *count >= 0.0).map(|count| count as u64));
        let Some(count) = whole.filter(|&count| count <= u64::from(u32::MAX)) else {
            return Err(refuse(
                &place.at(keyword),
                format_args!("`{keyword}` is {value}; it must be a whole number of at least 0"),
            ));
        };
        out.insert(keyword.to_owned(), count.into());
    }
    Ok(())
}

/// Refuses values that cannot be written as they are.
fn literal(pointer: &str, value: &Value) -> Result<()> {
    let control = |text: &str| text.chars().find(|&c| c.is_ascii_control() && !"\u{8}\u{c}\n\r\t".contains(c));
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(_) => numbers::check(pointer, value).map(|_| ()),
        Value::String(text) => match control(text) {
            Some(c) => Err(refuse(pointer, format_args!("the control character {c:?} cannot be enforced in a text"))),
            None => Ok(()),
        },
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| literal(&format!("{pointer}/{index}"), item))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| literal(&format!("{pointer}/{name}"), value))
        }
    }
}
