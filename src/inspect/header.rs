//! What the headers of a model tell: why it does not run, and what is missing or odd.

#![forbid(unsafe_code)]

use crate::chat::ChatTemplate;
use crate::decode::{Diffusion, DiffusionOverrides, DiffusionSettings};
use crate::error::Result;
use crate::findings::{Finding, add, model};
use crate::gguf::split::Part;
use crate::gguf::{GgmlType, Header, Metadata, TensorInfo};
use crate::model::{Architecture, check_headers};
use crate::tokenizer::Tokenizer;
use std::collections::BTreeSet;

const VOCABULARY_REMEDY: &str = "tokenizer and weights come from different versions of the checkpoint, often from before and after a \
                                 mask token was added; put together what belongs together and convert again";

/// What the headers of a model tell.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) diffusion: Option<DiffusionSettings>,
    pub(super) runs: bool,
    pub(super) findings: Vec<Finding>,
}

impl Answers {
    /// Looks at the headers of all files of a model. `sub_norms` is the kind of SubLN norms they
    /// have.
    pub(super) fn new(headers: &[&Header], sub_norms: &str) -> Result<Self> {
        let metadata = &headers[0].metadata;
        let architecture = metadata.string("general.architecture")?.unwrap_or_default();
        let mut answers = Self { runs: true, ..Self::default() };
        for (no, header) in headers.iter().enumerate() {
            answers.need(Part::of(header).and_then(|part| part.expect(no as u32, headers.len() as u32)));
        }
        answers.structure(headers, architecture, sub_norms)?;
        answers.tokenizer(metadata)?;
        if architecture == "bitnet" && metadata.get("bitnet.hidden_activation").is_none() {
            let message = "the file does not name its activation: SiLU is assumed, as everywhere for architecture bitnet. Models that \
                           were trained with squared ReLU, as Microsoft's BitNet b1.58 2B, then answer badly or not at all";
            answers.find(Finding::note("activation-assumed", message).remedy(
                "if this is such a model, convert its checkpoint with webtern, which writes the activation down",
            ));
        }
        fallbacks(headers).into_iter().for_each(|finding| answers.find(finding));
        Ok(answers)
    }

    fn find(&mut self, finding: Finding) {
        add(&mut self.findings, finding);
    }

    /// Notes what keeps the model from running.
    fn block(&mut self, finding: Finding) {
        self.runs = false;
        self.find(finding);
    }

    /// The value, or why the model does not run without it.
    fn need<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.block(error.into())).ok()
    }

    /// Names, shapes and completeness. The two usual mismatches are looked for first: they say more
    /// than the first odd tensor.
    fn structure(&mut self, headers: &[&Header], architecture: &str, sub_norms: &str) -> Result<()> {
        model::sub_norms(architecture, sub_norms).into_iter().for_each(|finding| self.find(finding));
        let wants = Architecture::find(architecture).is_ok_and(|architecture| architecture.sub_norms);
        if wants && sub_norms == "none" {
            let message = format!(
                "tensor blk.0.attn_sub_norm.weight is missing: architecture {architecture} has SubLN norms, and this file has none"
            );
            self.block(Finding::problem("sub-norms-missing", message).remedy(
                "convert the checkpoint with webtern, which chooses the architecture by the tensors: with its SubLN norms if the \
                 checkpoint has any, under whatever name, else as another architecture",
            ));
            return Ok(());
        }
        let metadata = &headers[0].metadata;
        if let Some(tokens) = metadata.strings("tokenizer.ggml.tokens")? {
            if let Some(finding) = vocabulary_mismatch(headers, tokens.len()) {
                self.block(finding);
                return Ok(());
            }
            let key = format!("{architecture}.vocab_size");
            if let Some(size) = metadata.u64(&key)?.filter(|size| *size != tokens.len() as u64) {
                let message = format!("the vocabulary has {} tokens, but {key} is {size}", tokens.len());
                self.find(Finding::warning("vocabulary-mismatch", message).remedy(VOCABULARY_REMEDY));
            }
        }
        self.need(check_headers(headers));
        let mut seen = BTreeSet::new();
        if let Some(info) = headers.iter().flat_map(|header| &header.tensors).find(|info| !seen.insert(&info.name)) {
            self.need::<()>(Err(err!(Malformed, "tensor {} is in more than one file of the model", info.name)));
        }
        Ok(())
    }

    fn tokenizer(&mut self, metadata: &Metadata) -> Result<()> {
        let Some(tokenizer) = self.need(Tokenizer::from_metadata(metadata)) else { return Ok(()) };
        tokenizer.warnings().iter().for_each(|warning| {
            self.find(Finding::warning(warning.code, warning.message.clone()));
        });
        if let Some(error) = ChatTemplate::from_metadata(metadata, &tokenizer).error() {
            self.find(model::chat_template(error));
        }
        match self.need(Diffusion::read(metadata, &tokenizer, DiffusionOverrides::default())) {
            Some(Diffusion::Supported(settings, assumed)) => {
                model::diffusion(&settings, assumed).into_iter().for_each(|finding| self.find(finding));
                self.diffusion = Some(settings);
            }
            Some(Diffusion::NoMaskToken) => self.find(model::no_mask_token(&tokenizer)),
            Some(Diffusion::MaskTokenStops(error)) => self.find(model::mask_token_stops(&error)),
            None => {}
        }
        Ok(())
    }
}

fn vocabulary_mismatch(headers: &[&Header], tokens: usize) -> Option<Finding> {
    let rows = |name: &str| headers.iter().find_map(|header| header.tensor(name)).map(|(_, info)| info.rows());
    let other = |name| Some((name, rows(name).filter(|rows| *rows != tokens as u64)?));
    let (name, rows) = ["token_embd.weight", "output.weight"].into_iter().find_map(other)?;
    let message = format!("the vocabulary has {tokens} tokens, but tensor {name} has {rows} rows");
    Some(Finding::problem("vocabulary-mismatch", message).remedy(VOCABULARY_REMEDY))
}

/// Layers whose rows do not fit the blocks of the type that most ternary layers have.
fn fallbacks(headers: &[&Header]) -> Vec<Finding> {
    let is_layer = |info: &&TensorInfo| info.name.starts_with("blk.") && info.dims.len() > 1;
    let layers = || headers.iter().flat_map(|header| &header.tensors).filter(is_layer);
    let count = |ty: GgmlType| layers().filter(|info| info.ty == ty).count();
    let Some(main) = GgmlType::all().filter(|ty| ty.is_ternary() && count(*ty) > 0).max_by_key(|ty| count(*ty)) else {
        return Vec::new();
    };
    let block = main.block_len();
    let misfit = |info: &&TensorInfo| info.ty != main && !info.cols().is_multiple_of(block as u64);
    let finding = |info: &TensorInfo| {
        let why = format!("rows of {} weights are not whole blocks of {block} as {main} has them", info.cols());
        model::fallback(&info.name, info.ty.name(), &why)
    };
    layers().filter(misfit).map(finding).collect()
}
