//! The names of decode modes and of the rules by which a block's tokens are accepted.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// How tokens are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Mode {
    /// For a diffusion model `Adaptive`, or `Iterative` where it recommends a schedule; `Ar` where
    /// that is faster and the model was trained for it, and for all other models.
    #[default]
    Auto,
    /// One token after the other. Works on every model.
    Ar,
    /// Every position of a block in one pass.
    Greedy,
    /// Passes that accept what is more probable than the threshold.
    Iterative,
    /// As `Iterative`, with a lower threshold in the first two passes over a sub-block.
    Adaptive,
    /// The tokens of `Ar`, drafted by one pass over a window and verified by another; the block
    /// size is that of the window.
    Speculative,
}

impl Mode {
    /// As in options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ar => "ar",
            Self::Greedy => "greedy",
            Self::Iterative => "iterative",
            Self::Adaptive => "adaptive",
            Self::Speculative => "speculative",
        }
    }
}

/// A rule of acceptance. The threshold is [`Options::threshold`](super::Options::threshold), or
/// that of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Acceptance {
    /// Rows whose confidence exceeds the threshold, and always the most confident one (Fast-dLLM,
    /// arXiv:2505.22618).
    #[default]
    Threshold,
    /// Rows whose confidence exceeds the threshold if there are as many as the schedule says, else
    /// the scheduled number of most confident rows (SDAR, arXiv:2510.06303).
    Dynamic,
    /// The scheduled number of most confident rows.
    Static,
    /// The most confident rows as long as the product of their confidences exceeds the threshold.
    Product,
    /// As threshold; rows near one that exceeds it need 0.15 less (LocalLeap, arXiv:2510.07081).
    Local,
    /// Rows in order of entropy, as long as the entropies of those before sum to no more than the
    /// threshold, in nats (EB-Sampler, arXiv:2505.24857).
    Entropy,
}

impl Acceptance {
    /// Every rule.
    pub(crate) const ALL: [Self; 6] =
        [Self::Threshold, Self::Dynamic, Self::Static, Self::Product, Self::Local, Self::Entropy];

    /// As in files and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Dynamic => "dynamic",
            Self::Static => "static",
            Self::Product => "product",
            Self::Local => "local",
            Self::Entropy => "entropy",
        }
    }

    /// Whether a schedule belongs to the rule.
    pub(crate) const fn has_schedule(self) -> bool {
        matches!(self, Self::Dynamic | Self::Static)
    }
}
