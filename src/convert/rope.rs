//! Rotary positions: base and scaling, from `rope_theta` and `rope_scaling` or, since transformers
//! 5, `rope_parameters`.

#![forbid(unsafe_code)]

use super::json::Json;
use crate::error::Result;
use crate::gguf::Metadata;

/// How the rotation is stretched over longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RopeScaling {
    None,
    Linear {
        factor: f32,
    },
    Yarn {
        factor: f32,
        original: u32,
        beta_fast: Option<f32>,
        beta_slow: Option<f32>,
        attention_factor: Option<f32>,
    },
    /// Llama 3: slow pairs are divided by `factor`, fast ones stay, with a ramp between.
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original: u32,
    },
    /// LongRoPE: each pair is divided by a factor of its own, of two lists by the length of the
    /// context.
    LongRope {
        short: Vec<f32>,
        long: Vec<f32>,
        original: u32,
    },
}

impl RopeScaling {
    /// Base and scaling.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture` for scalings that are not run, `malformed` for values of the
    /// wrong kind.
    pub(super) fn read(config: &Json, context_length: u32) -> Result<(f32, Self)> {
        let parameters = config.object("rope_parameters")?;
        let scaling = config.object("rope_scaling")?;
        let in_parameters = parameters.as_ref().map_or(Ok(None), |json| json.number("rope_theta"))?;
        let base = in_parameters.or(config.number("rope_theta")?).unwrap_or(10_000.0);
        let json = scaling.or(parameters).unwrap_or_default();
        if json.get("full_attention").is_some() || json.get("sliding_attention").is_some() {
            bail!(
                UnsupportedArchitecture,
                "config.json: rope_parameters differ between layers, which webtern does not run"
            );
        }
        if json.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            bail!(UnsupportedArchitecture, "config.json: partial_rotary_factor is not 1: webtern rotates whole heads");
        }
        let kind = match json.string("rope_type")? {
            Some(kind) => kind,
            None => json.string("type")?.unwrap_or("default"),
        };
        let original = || Ok(json.size("original_max_position_embeddings")?.unwrap_or(context_length));
        let scaling = match kind {
            "default" => Self::None,
            "linear" => Self::Linear { factor: json.require_number("factor")? },
            "yarn" => {
                if let Some(key) = ["mscale", "mscale_all_dim"].into_iter().find(|key| json.get(key).is_some()) {
                    bail!(UnsupportedArchitecture, "config.json: rope_scaling: {key} is not supported with yarn");
                }
                if json.bool("truncate")? == Some(false) {
                    bail!(UnsupportedArchitecture, "config.json: rope_scaling: yarn without truncate is not supported");
                }
                Self::Yarn {
                    factor: json.require_number("factor")?,
                    original: original()?,
                    beta_fast: json.number("beta_fast")?,
                    beta_slow: json.number("beta_slow")?,
                    attention_factor: json.number("attention_factor")?,
                }
            }
            "llama3" => {
                let (low, high) = (json.require_number("low_freq_factor")?, json.require_number("high_freq_factor")?);
                if low >= high {
                    bail!(
                        Malformed,
                        "config.json: rope_scaling: low_freq_factor {low} is not below high_freq_factor {high}"
                    );
                }
                Self::Llama3 { factor: json.require_number("factor")?, low, high, original: original()? }
            }
            "longrope" | "su" => {
                let [short, long] = ["short_factor", "long_factor"].map(|key| json.require_numbers(key));
                let original = original()?;
                if original != context_length {
                    bail!(
                        UnsupportedArchitecture,
                        "config.json: rope_scaling: longrope from {original} to {context_length} positions also scales the \
                         attention, which webtern does not run"
                    );
                }
                Self::LongRope { short: short?, long: long?, original }
            }
            other => bail!(
                UnsupportedArchitecture,
                "config.json: rope scaling \"{other}\" is not supported; webtern runs default, linear, yarn, llama3 and longrope"
            ),
        };
        Ok((base, scaling))
    }

    /// Writes the scaling under the keys of `architecture`.
    pub(super) fn write(&self, architecture: &str, metadata: &mut Metadata) {
        let mut insert =
            |key: &str, value: f32| drop(metadata.insert(format!("{architecture}.rope.scaling.{key}"), value));
        let kind = match *self {
            Self::None | Self::Llama3 { .. } => return,
            Self::Linear { factor } => {
                insert("factor", factor);
                "linear"
            }
            Self::Yarn { factor, original, beta_fast, beta_slow, attention_factor } => {
                insert("factor", factor);
                // In GGUF a factor on top of YaRN's own, in transformers the product of both.
                let extra = attention_factor.map(|whole| whole / (1.0 + 0.1 * factor.ln()));
                for (key, value) in
                    [("yarn_beta_fast", beta_fast), ("yarn_beta_slow", beta_slow), ("attn_factor", extra)]
                {
                    if let Some(value) = value {
                        insert(key, value);
                    }
                }
                metadata.insert(format!("{architecture}.rope.scaling.original_context_length"), original);
                "yarn"
            }
            Self::LongRope { original, .. } => {
                metadata.insert(format!("{architecture}.rope.scaling.original_context_length"), original);
                "longrope"
            }
        };
        metadata.insert(format!("{architecture}.rope.scaling.type"), kind);
    }

    /// Tensors of divisors of the frequencies, for heads of `head_dim`.
    ///
    /// # Errors
    ///
    /// `malformed` for lists of another length.
    pub(super) fn tensors(&self, base: f32, head_dim: u32) -> Result<Vec<(&'static str, Vec<f32>)>> {
        match self {
            Self::LongRope { short, long, .. } => {
                if let Some(factors) = [short, long].into_iter().find(|factors| factors.len() != head_dim as usize / 2)
                {
                    bail!(Malformed, "config.json: rope_scaling: {} factors for heads of {head_dim}", factors.len());
                }
                Ok(vec![("rope_factors_short.weight", short.clone()), ("rope_factors_long.weight", long.clone())])
            }
            _ => {
                Ok(self.divisors(base, head_dim).map(|divisors| ("rope_freqs.weight", divisors)).into_iter().collect())
            }
        }
    }

    /// The divisors of Llama 3.
    ///
    /// Source: `_compute_llama3_parameters` of transformers.
    fn divisors(&self, base: f32, head_dim: u32) -> Option<Vec<f32>> {
        let Self::Llama3 { factor, low, high, original } = *self else { return None };
        let divisor = |pair: u32| {
            let frequency = base.powf(-(2.0 * pair as f32) / head_dim as f32);
            let turns = original as f32 * frequency / std::f32::consts::TAU;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / (kept + (1.0 - kept) / factor)
        };
        Some((0..head_dim / 2).map(divisor).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;
    use serde_json::json;

    fn read(config: serde_json::Value) -> Result<(f32, RopeScaling)> {
        RopeScaling::read(&Json::parse("config.json", &config.to_string())?, 4096)
    }

    #[test]
    fn both_generations_of_keys_say_the_same() {
        let old = json!({ "rope_theta": 500000.0, "rope_scaling": { "type": "linear", "factor": 4.0 } });
        let new = json!({ "rope_parameters": { "rope_theta": 500000.0, "rope_type": "linear", "factor": 4.0 } });
        assert_eq!(read(old), Ok((500_000.0, RopeScaling::Linear { factor: 4.0 })));
        assert_eq!(read(new), Ok((500_000.0, RopeScaling::Linear { factor: 4.0 })));
        let plain = json!({ "rope_parameters": { "rope_theta": 7.0, "rope_type": "default" }, "rope_scaling": null });
        assert_eq!(read(plain), Ok((7.0, RopeScaling::None)));
    }

    #[test]
    fn llama3_divisors_match_transformers() {
        // transformers 4.57 `_compute_llama3_parameters` with Llama 3.2's values, head_dim 16:
        // plain over scaled frequency.
        let scaling = RopeScaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192 };
        let divisors = scaling.divisors(500_000.0, 16).unwrap();
        // Turns in 8192 positions: 1303.8 x 500000^(-i/8), so pairs 0 to 3 (9.5) turn more than 4
        // times; pair 4 turns 1.844 times, 0.2813 of the way from 1 to 4; the rest turn less than
        // once.
        assert_eq!(divisors[..4], [1.0; 4]);
        assert!((divisors[4] - 1.0 / (0.281_29 + 0.718_71 / 32.0)).abs() < 1e-3, "{divisors:?}");
        assert!(divisors[5..].iter().all(|divisor| (divisor - 32.0).abs() < 1e-4), "{divisors:?}");
    }

    #[test]
    fn yarn_splits_the_attention_factor() {
        let scaling = json!({ "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "attention_factor": 2.0 });
        let (_, yarn) = read(json!({ "rope_scaling": scaling })).unwrap();
        let mut metadata = Metadata::default();
        yarn.write("qwen2", &mut metadata);
        assert_eq!(metadata.string("qwen2.rope.scaling.type"), Ok(Some("yarn")));
        assert_eq!(metadata.u32("qwen2.rope.scaling.original_context_length"), Ok(Some(1024)));
        let extra = metadata.require_f32("qwen2.rope.scaling.attn_factor").unwrap();
        assert!((extra * (1.0 + 0.1 * 4f32.ln()) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn rejects_other_scalings() {
        for (scaling, code, words) in [
            (json!({ "rope_type": "longrope", "factor": 4.0 }), ErrorCode::Malformed, "short_factor is missing"),
            (
                json!({ "rope_type": "longrope", "short_factor": [1], "long_factor": [1], "original_max_position_embeddings": 9 }),
                ErrorCode::UnsupportedArchitecture,
                "longrope from 9",
            ),
            (json!({ "rope_type": "dynamic" }), ErrorCode::UnsupportedArchitecture, "\"dynamic\""),
            (json!({ "type": "dynamic", "factor": 4.0 }), ErrorCode::UnsupportedArchitecture, "\"dynamic\""),
            (json!({ "type": "linear" }), ErrorCode::Malformed, "factor is missing"),
            (json!({ "type": "yarn", "factor": 4.0, "mscale": 1.0 }), ErrorCode::UnsupportedArchitecture, "mscale"),
            (json!({ "full_attention": {} }), ErrorCode::UnsupportedArchitecture, "differ between layers"),
            (
                json!({ "type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0 }),
                ErrorCode::Malformed,
                "low_freq_factor",
            ),
        ] {
            let error = read(json!({ "rope_scaling": scaling })).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(words), "{error}");
        }
    }
}
