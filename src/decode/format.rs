//! What an answer must be, as a caller says it.

#![forbid(unsafe_code)]

use super::constraint::Constraint;
use crate::error::Result;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The languages that an answer can be held to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Format {
    /// A JSON object.
    #[serde(alias = "json_object")]
    Json {},
    /// JSON that a schema describes.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
    /// Text that a regular expression matches as a whole, in the syntax of Rust's crate `regex`.
    Regex {
        /// The expression.
        regex: String,
    },
    /// Text of a context-free grammar, in llguidance's dialect of Lark.
    Lark {
        /// The grammar.
        lark: String,
    },
    /// One of several texts.
    Choice {
        /// The texts.
        choice: Vec<String>,
    },
    /// JSON that a schema describes, between constants, once or several times. No request asks for
    /// it by name: it is what calls of tools look like.
    Sequence {
        /// The schema of each.
        schema: Value,
        /// What is before the first.
        first: String,
        /// What is between two; there is one only if `None`.
        between: Option<String>,
        /// What is behind the last.
        last: String,
    },
}

/// A [`Format`] and, once somebody has compiled it, its constraint. Copies share that.
#[derive(Clone, Debug)]
pub struct ResponseFormat {
    format: Format,
    compiled: Arc<Mutex<Option<Box<dyn Constraint>>>>,
}

impl ResponseFormat {
    /// What is asked for.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The constraint at its start; `compile` makes it the first time.
    ///
    /// # Errors
    ///
    /// Those of `compile`.
    pub(crate) fn constraint(
        &self,
        compile: impl FnOnce(&Format) -> Result<Box<dyn Constraint>>,
    ) -> Result<Box<dyn Constraint>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(constraint) = &*compiled {
            return Ok(constraint.clone());
        }
        Ok(compiled.insert(compile(&self.format)?).clone())
    }
}

impl From<Format> for ResponseFormat {
    fn from(format: Format) -> Self {
        Self { format, compiled: Arc::default() }
    }
}

impl PartialEq for ResponseFormat {
    fn eq(&self, other: &Self) -> bool {
        self.format == other.format
    }
}

impl<'de> Deserialize<'de> for ResponseFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // A detour that keeps the numbers of a schema as they are written.
        let value = Value::deserialize(deserializer)?;
        serde_json::from_value::<Format>(value).map(Self::from).map_err(D::Error::custom)
    }
}
