//! Architectures as data.
//!
//! Every model webtern runs is the same pre-norm decoder: RMS norm, grouped attention with rotary
//! positions, gated feed-forward. What differs is one row of [`ARCHITECTURES`]; biases, sub-norms
//! and scales beyond that are recognized by the tensors a file has (see [`super::weights`]).

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::ops::{Activation, RopeStyle};

/// What a value of `general.architecture` stands for.
#[derive(Debug)]
pub struct Architecture {
    /// The value of `general.architecture`, and the prefix of the architecture's own keys.
    pub name: &'static str,
    pub(super) rope: RopeStyle,
    /// The activation when the file does not name one in `{name}.hidden_activation`.
    pub(super) activation: Activation,
    /// SubLN: a norm before the output and the down projection.
    pub(crate) sub_norms: bool,
    /// Norms on each head of queries and keys, before the rotation.
    pub(super) head_norms: bool,
    /// The head is always the token embedding, even when the file has an `output.weight`.
    pub(super) tied: bool,
    /// `{name}.attention.sliding_window` bounds the attention.
    pub(super) window: bool,
    /// The embedding, the residual branches and the logits are scaled by factors in the metadata
    /// (arXiv:2404.06395).
    pub(super) scaled: bool,
}

const LLAMA: Architecture = Architecture {
    name: "llama",
    rope: RopeStyle::Adjacent,
    activation: Activation::Silu,
    sub_norms: false,
    head_norms: false,
    tied: false,
    window: true,
    scaled: false,
};

const BITNET: Architecture = Architecture {
    name: "bitnet",
    rope: RopeStyle::Halves,
    activation: Activation::Silu,
    sub_norms: true,
    head_norms: false,
    tied: true,
    window: false,
    scaled: false,
};

const QWEN2: Architecture = Architecture { name: "qwen2", rope: RopeStyle::Halves, window: false, ..LLAMA };

static ARCHITECTURES: [Architecture; 8] = [
    LLAMA,
    Architecture { name: "mistral", ..LLAMA },
    BITNET,
    Architecture { name: "bitnet-b1.58", activation: Activation::Relu2, ..BITNET },
    Architecture { name: "bitnet-25", activation: Activation::Relu2, ..BITNET },
    QWEN2,
    Architecture { name: "qwen3", head_norms: true, ..QWEN2 },
    Architecture { name: "minicpm", window: false, scaled: true, ..LLAMA },
];

impl Architecture {
    /// The architecture called `name`.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture` with the list of those that are supported.
    pub fn find(name: &str) -> Result<&'static Self> {
        ARCHITECTURES.iter().find(|architecture| architecture.name == name).ok_or_else(|| {
            let known = ARCHITECTURES.each_ref().map(|architecture| architecture.name).join(", ");
            err!(UnsupportedArchitecture, "architecture \"{name}\" is not supported; webtern runs {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn rejects_unknown_names() {
        assert_eq!(Architecture::find("qwen3").unwrap().name, "qwen3");
        let error = Architecture::find("mamba").unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::UnsupportedArchitecture);
        assert!(error.message().contains("\"mamba\"") && error.message().contains("bitnet-b1.58"), "{error}");
    }
}
