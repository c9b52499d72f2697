//! Families of block-diffusion models: what a class means that `config.json` need not say.
//!
//! A family decides how the weights were trained, so its facts hold unless the checkpoint or the
//! caller says otherwise:
//!
//! | family | logits of a row predict | block | acceptance | mask token |
//! |---|---|---|---|---|
//! | Fast-dLLM v2 (arXiv:2509.26328) | the next position | `bd_size`, 32 | threshold | by name |
//! | SDAR (arXiv:2510.06303), TraDo | the row's own | `block_size`, 4 | dynamic | `mask_token_id`, or `<\|MASK\|>` |
//! | Tiny-A2D (dLLM's `a2d-*` models, bd3lm) | the row's own | 32 | dynamic | `mask_token` of `tokenizer_config.json` |

#![forbid(unsafe_code)]

use crate::decode::Acceptance;

/// A family of block-diffusion models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    FastDllm,
    Sdar,
    TinyA2d,
}

impl Family {
    /// Positions in a block, for families whose files may leave them out.
    pub(super) const fn block_size(self) -> Option<u32> {
        match self {
            Self::FastDllm => None,
            Self::Sdar => Some(4),
            Self::TinyA2d => Some(32),
        }
    }

    /// Whether the logits of a row predict the next position.
    pub(super) const fn shift_logits(self) -> bool {
        matches!(self, Self::FastDllm)
    }

    /// The rule of acceptance and its threshold, where it is not webtern's default.
    pub(super) const fn acceptance(self) -> Option<(Acceptance, f32)> {
        match self {
            Self::FastDllm => None,
            Self::Sdar | Self::TinyA2d => Some((Acceptance::Dynamic, 0.9)),
        }
    }

    /// The name of the mask token, for families whose files may not say which it is.
    pub(super) const fn mask_token(self) -> Option<&'static str> {
        match self {
            Self::FastDllm | Self::TinyA2d => None,
            Self::Sdar => Some("<|MASK|>"),
        }
    }
}
