//! What a caller may choose when a model is loaded.

#![forbid(unsafe_code)]

use crate::chat::TemplateArgs;
use crate::decode::DiffusionOverrides;
use crate::error::Result;
use crate::model::LoadOptions;
use serde::Deserialize;

/// Load options. In JSON: camel case, unknown names refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineOptions {
    /// Positions of the cache; the model's own context length when `None`.
    pub context_length: Option<usize>,
    /// A chat template, in place of the file's.
    pub chat_template: Option<String>,
    /// Variables for the chat template; those of a request go before them.
    pub chat_template_args: TemplateArgs,
    /// What the caller knows better about diffusion decoding.
    #[serde(flatten)]
    pub diffusion: DiffusionOverrides,
}

impl EngineOptions {
    /// Reads options from a JSON object.
    ///
    /// # Errors
    ///
    /// `bad-option` for unknown names and wrong types.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| err!(BadOption, "load options: {error}"))
    }

    /// The part that concerns [`crate::model::Loader`].
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions { context_length: self.context_length, ..LoadOptions::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::decode::AttentionKind;
    use crate::testing::test;

    #[test]
    fn reads_load_options() {
        let options = EngineOptions::from_json(
            r#"{ "contextLength": 64, "maskTokenId": 3, "forceMaskToken": true, "attention": "causal" }"#,
        )
        .unwrap();
        assert_eq!((options.context_length, options.diffusion.mask_token_id), (Some(64), Some(3)));
        assert_eq!(
            (options.diffusion.force_mask_token, options.diffusion.attention),
            (true, Some(AttentionKind::Causal))
        );
        assert_eq!(options.load_options().context_length, Some(64));
        assert_eq!(EngineOptions::from_json("{}").unwrap().diffusion.attention, None);
    }

    #[test]
    fn rejects_load_options_by_name() {
        for (json, words) in [
            ("3", "load options"),
            (r#"{ "context_length": 3 }"#, "`context_length`"),
            (r#"{ "contextLength": -1 }"#, "-1"),
            (r#"{ "attention": "full" }"#, "`full`"),
        ] {
            let error = EngineOptions::from_json(json).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadOption, "{json}: {error}");
            assert!(error.message().contains(words), "{json}: {error}");
        }
    }
}
