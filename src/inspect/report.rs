//! The answers about a GGUF file, as JSON and for printing.

#![forbid(unsafe_code)]

use super::header::Answers;
use crate::decode::{DiffusionSettings, decode_modes};
use crate::error::Result;
use crate::findings::Finding;
use crate::gguf::Header;
use crate::tokenizer;
use serde::Serialize;

/// The answer of `webtern inspect`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `general.name`, or nothing.
    pub name: String,
    /// `general.architecture`.
    pub architecture: String,
    /// Number of files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Number of weights.
    pub parameters: u64,
    /// Which SubLN norms there are: `none`, `two` (before the output and down projections), `seven`
    /// (before each projection).
    pub sub_norms: &'static str,
    /// Kind of tokenizer, its pre-tokenizer and size.
    pub tokenizer: String,
    /// Whether the file brings its own chat template.
    pub chat_template: bool,
    /// How it decodes by diffusion, if it can.
    pub diffusion: Option<DiffusionSettings>,
    /// The mask token as the vocabulary spells it.
    pub mask_token_text: Option<String>,
    /// The decode modes that make sense, the one that `auto` chooses first.
    pub modes: &'static [&'static str],
    /// Tensors by type.
    pub types: Vec<TypeSummary>,
    /// Every tensor.
    pub tensors: Vec<Tensor>,
    /// Whether it runs. What it computes may be wrong all the same.
    pub runs: bool,
    /// What somebody should know about it, the worst first.
    pub findings: Vec<Finding>,
}

/// Tensors of one type.
#[derive(Clone, Debug, Serialize)]
pub struct TypeSummary {
    /// The type's name.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their weights.
    pub weights: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One tensor.
#[derive(Clone, Debug, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Its dimensions, the fastest first.
    pub dims: Vec<u64>,
    /// For ternary types, where the bytes were read: its scale, if it has just one.
    pub scale: Option<f32>,
    /// For ternary types, where the bytes were read: the share of zeros, from 0 to 1.
    pub zeros: Option<f64>,
}

impl Report {
    /// Describes a model by the header and size of each of its files. [`super::model`] also looks
    /// at the weights.
    ///
    /// # Errors
    ///
    /// `malformed` when keys that every file has are of the wrong kind.
    pub fn new(files: &[(Header, u64)]) -> Result<Self> {
        let Some((first, _)) = files.first() else { bail!(BadOption, "a model has at least one file") };
        let metadata = &first.metadata;
        let headers: Vec<&Header> = files.iter().map(|(header, _)| header).collect();
        let tensors = || headers.iter().flat_map(|header| &header.tensors);
        let mut types: Vec<TypeSummary> = Vec::new();
        for info in tensors() {
            let index = types.iter().position(|summary| summary.ty == info.ty.name()).unwrap_or_else(|| {
                types.push(TypeSummary { ty: info.ty.name(), tensors: 0, weights: 0, bytes: 0 });
                types.len() - 1
            });
            types[index].tensors += 1;
            types[index].weights += info.cols() * info.rows();
            types[index].bytes += info.bytes;
        }
        let sub_norms = sub_norms(|part| tensors().any(|info| info.name.ends_with(part)));
        let Answers { diffusion, runs, findings } = Answers::new(&headers, sub_norms)?;
        Ok(Self {
            name: metadata.string("general.name")?.unwrap_or_default().to_owned(),
            architecture: metadata.string("general.architecture")?.unwrap_or_default().to_owned(),
            files: files.len(),
            bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            parameters: types.iter().map(|summary| summary.weights).sum(),
            sub_norms,
            tokenizer: tokenizer::describe(metadata)?,
            chat_template: metadata.string("tokenizer.chat_template")?.is_some(),
            modes: decode_modes(diffusion.as_ref()),
            mask_token_text: diffusion.as_ref().and_then(|info| tokenizer::spelling(metadata, info.mask_token)),
            diffusion,
            types,
            tensors: tensors()
                .map(|info| Tensor {
                    name: info.name.clone(),
                    ty: info.ty.name(),
                    dims: info.dims.clone(),
                    scale: None,
                    zeros: None,
                })
                .collect(),
            runs,
            findings,
        })
    }
}

fn sub_norms(has: impl Fn(&str) -> bool) -> &'static str {
    match (has("attn_q_norm_in.weight"), has("attn_sub_norm.weight") || has("attn_output_norm_in.weight")) {
        (true, _) => "seven",
        (false, true) => "two",
        (false, false) => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Decoder, GgmlType, Limits, Metadata, TensorSpec, Writer};
    use crate::testing::test;

    /// A header with a two-token vocabulary and the given tensors, each of 64 x 64 weights.
    fn header(change: impl Fn(&mut Metadata), tensors: &[(&str, GgmlType)]) -> (Header, u64) {
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", "bitnet");
        metadata.insert("tokenizer.ggml.model", "gpt2");
        metadata.insert("tokenizer.ggml.pre", "gpt-2");
        metadata.insert("tokenizer.ggml.tokens", ["a", "|<MASK>|"].map(str::to_owned).to_vec());
        metadata.insert("tokenizer.ggml.token_type", vec![1i32, 3]);
        change(&mut metadata);
        let spec = |&(name, ty): &(&str, GgmlType)| TensorSpec { name: name.to_owned(), dims: vec![64, 64], ty };
        let mut file = Vec::new();
        Writer::new(&mut file, &metadata, &tensors.iter().map(spec).collect::<Vec<_>>()).unwrap();
        let mut decoder = Decoder::new(Limits::default());
        decoder.decode(&mut &file[..]).unwrap();
        (decoder.into_header().unwrap(), 100)
    }

    #[test]
    fn sums_up_tensors_by_type() {
        let tensors = [
            ("token_embd.weight", GgmlType::Q8_0),
            ("blk.0.attn_q.weight", GgmlType::Q2_0),
            ("blk.0.attn_k.weight", GgmlType::Q2_0),
            ("blk.0.attn_sub_norm.weight", GgmlType::F32),
        ];
        let report = Report::new(&[header(|_| {}, &tensors)]).unwrap();
        let types: Vec<_> = report.types.iter().map(|s| (s.ty, s.tensors, s.weights, s.bytes)).collect();
        assert_eq!(types, [("Q8_0", 1, 4096, 4352), ("Q2_0", 2, 8192, 2304), ("F32", 1, 4096, 16384)]);
        assert_eq!((report.files, report.bytes, report.parameters, report.sub_norms), (1, 100, 16384, "two"));
        assert_eq!(report.tokenizer, "gpt2 (gpt-2), 2 tokens");
        assert_eq!(report.diffusion.map(|diffusion| diffusion.mask_token), Some(1));
        assert_eq!(report.modes, ["adaptive", "iterative", "greedy", "ar"]);
        let seven = Report::new(&[header(|_| {}, &[("blk.0.attn_q_norm_in.weight", GgmlType::F32)])]).unwrap();
        assert_eq!(seven.sub_norms, "seven");
    }

    #[test]
    fn lists_every_kind_of_problem() {
        let problems = |change: fn(&mut Metadata)| {
            let tensors = [("blk.0.attn_sub_norm.weight", GgmlType::F32)];
            let report = Report::new(&[header(change, &tensors)]).unwrap();
            assert!(!report.runs);
            report.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        for (words, found) in [
            ("bitnet.embedding_length", problems(|_| {})),
            ("\"mamba\"", problems(|metadata| drop(metadata.insert("general.architecture", "mamba")))),
            ("\"bert\"", problems(|metadata| drop(metadata.insert("tokenizer.ggml.model", "bert")))),
            (
                "tokenizer.chat_template",
                problems(|metadata| drop(metadata.insert("tokenizer.chat_template", "{% if %}"))),
            ),
            ("diffusion.block_size", problems(|metadata| drop(metadata.insert("diffusion.block_size", 0u32)))),
            (
                "file 2 of 2",
                problems(|metadata| {
                    metadata.insert("split.no", 1u16);
                    metadata.insert("split.count", 2u16);
                }),
            ),
        ] {
            assert!(found.iter().any(|problem| problem.contains(words)), "{words}: {found:?}");
        }
        let error = Report::new(&[]).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::BadOption);
    }
}
