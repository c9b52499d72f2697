//! The keywords of JSON Schema: enforced, without effect on what is valid, or refused with advice.

#![forbid(unsafe_code)]

/// Those that are enforced.
pub(super) const ENFORCED: [&str; 27] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "type",
];

/// Those that say nothing about what is valid.
pub(super) const ANNOTATIONS: [&str; 11] = [
    "$anchor",
    "$comment",
    "$defs",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
];

/// More of them.
pub(super) const MORE_ANNOTATIONS: [&str; 2] = ["writeOnly", "$id"];

/// Drafts whose keywords mean what they mean here.
pub(super) const DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];

/// The values of `format` that are enforced.
pub(super) const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// What to do without a keyword that is not enforced.
pub(super) fn advice(keyword: &str) -> &'static str {
    match keyword {
        "not" => "say what is allowed instead, by `enum`, `type` or `pattern`",
        "if" | "then" | "else" => "write the cases as `anyOf`",
        "uniqueItems" => "leave it out and drop repeated items from the answer",
        "contains" | "minContains" | "maxContains" => "put the item into `prefixItems`",
        "propertyNames" => "use `patternProperties` with `additionalProperties: false`",
        "dependentRequired" | "dependentSchemas" | "dependencies" => "write the cases as `anyOf`",
        "unevaluatedProperties" => "use `additionalProperties`",
        "unevaluatedItems" => "use `items: false` with `prefixItems`",
        "contentEncoding" | "contentMediaType" | "contentSchema" => "describe the text by `pattern`",
        "nullable" => "use `type: [..., \"null\"]`",
        "$dynamicRef" | "$recursiveRef" => "use `$ref`",
        _ => "leave it out",
    }
}
