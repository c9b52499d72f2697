//! What the file will hold, decided from configuration and headers before any weight is written.

#![forbid(unsafe_code)]

use super::checkpoint::{Stored, Weights, weights};
use super::config::{Class, Config, WeightScale};
use super::diffusion::diffusion;
use super::inventory::{Inventory, SubNorms};
use super::metadata;
use super::names::{K, LayerPart, NormStyle, PROJECTIONS, Part, Q};
use super::options::{ConvertOptions, Scales, SubLn};
use super::report::{Dropped, Report, TensorReport};
use super::weights::{BitLinear, Matrix, RowOrder, floats};
use crate::decode::decode_modes;
use crate::error::Result;
use crate::files::{Files, text};
use crate::findings::{self, Finding};
use crate::gguf::{GgmlType, Metadata, TensorSpec, Writer};
use crate::model::check_headers;
use crate::quant::{TernaryGroups, detect_ternary};
use crate::tokenizer;
use safetensors::Dtype;

/// Bytes of two tensors that are compared at a time.
const CHUNK: usize = 1 << 20;

/// A conversion that is known to work out, as far as configuration and headers of a checkpoint can
/// tell.
pub struct Plan {
    pub(super) metadata: Metadata,
    pub(super) outputs: Vec<Output>,
    pub(super) report: Report,
}

/// A tensor of the file and how it is made.
pub(super) struct Output {
    pub(super) spec: TensorSpec,
    pub(super) recipe: Recipe,
}

/// How a tensor is made.
pub(super) enum Recipe {
    /// Its values are known.
    Values(Vec<f32>),
    /// Floats, encoded.
    Float(Matrix),
    /// A BitLinear layer, its scale in the blocks.
    BitLinear(Matrix, BitLinear),
    /// A BitLinear layer without its scale, which comes next.
    Codes(Matrix, BitLinear),
    /// The scale of the layer before.
    Scale,
    /// A layer that is three-valued in groups.
    Groups(Matrix),
}

impl Plan {
    /// Reads configuration and headers of a checkpoint and decides everything.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture` and `unsupported-type` for what is not converted, `malformed` and
    /// `truncated` for damaged checkpoints, `bad-option` for options that do not go with the
    /// checkpoint.
    pub fn new(files: &mut dyn Files, options: &ConvertOptions) -> Result<Self> {
        options.validate()?;
        let Some(config_text) = text(files, "config.json")? else {
            bail!(Io, "config.json is missing: a checkpoint is a folder with config.json, tokenizer and weights");
        };
        let config = Config::parse(&config_text)?;
        let Weights { tensors, notices } = weights(files)?;
        let inventory = Inventory::new(&config, tensors)?;
        let mut builder = Builder::new(files, &config, &inventory, options, notices)?;
        let architecture = builder.add_tensors()?;
        builder.finish(architecture, &config_text)
    }

    /// What the conversion will do; what weights were is only known when it has been done.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

struct Builder<'a> {
    files: &'a mut dyn Files,
    config: &'a Config,
    inventory: &'a Inventory,
    options: &'a ConvertOptions,
    sub_norms: SubNorms,
    /// Why linear layers are BitLinear, if they are.
    because: Option<&'static str>,
    weight_scale: Option<&'static str>,
    outputs: Vec<Output>,
    tensors: Vec<TensorReport>,
    dropped: Vec<Dropped>,
    findings: Vec<Finding>,
}

impl<'a> Builder<'a> {
    fn new(
        files: &'a mut dyn Files,
        config: &'a Config,
        inventory: &'a Inventory,
        options: &'a ConvertOptions,
        notices: Vec<String>,
    ) -> Result<Self> {
        let sub_norms = if options.subln == SubLn::Drop { SubNorms::None } else { inventory.sub_norms };
        let because = evidence(files, config, inventory, options)?;
        if let Some(ty) = options.ty.filter(|ty| ty.is_ternary() && because.is_none()) {
            bail!(
                BadOption,
                "type {ty} is for ternary weights, and nothing in this checkpoint says that its layers are BitLinear; if they are, add --ternarize, else choose q8_0 or a float type"
            );
        }
        let mut builder = Self {
            files,
            config,
            inventory,
            options,
            sub_norms,
            because,
            weight_scale: None,
            outputs: Vec::new(),
            tensors: Vec::new(),
            dropped: Vec::new(),
            findings: notices.into_iter().map(|notice| Finding::note("other-weights", notice)).collect(),
        };
        builder.dropped.extend(
            inventory.ignored.iter().map(|name| Dropped { name: name.clone(), reason: "not needed to run the model" }),
        );
        if inventory.sub_norms != sub_norms {
            let message = format!(
                "{} SubLN norms are left out, as asked: the file computes another function than the checkpoint, and its answers will be worse",
                inventory.sub_norm_count(config)
            );
            builder.find(
                Finding::warning("sub-norms-dropped", message)
                    .remedy("keep them (--subln keep) for webtern, which runs them"),
            );
        }
        Ok(builder)
    }

    /// Adds every tensor of the file, whose architecture is returned.
    fn add_tensors(&mut self) -> Result<&'static str> {
        let keep_head = self.keep_head()?;
        let architecture = self.architecture(keep_head);
        self.table("token_embd.weight", Part::Embedding)?;
        self.vector("output_norm.weight", Part::FinalNorm, RowOrder::Same)?;
        if keep_head {
            self.table("output.weight", Part::Head)?;
        }
        for (name, divisors) in self.config.rope_scaling.tensors(self.config.rope_base, self.config.head_dim)? {
            let dims = vec![divisors.len() as u64];
            self.add(name.into(), dims, GgmlType::F32, None, Recipe::Values(divisors), None);
        }
        (0..self.config.layers as usize).try_for_each(|layer| self.layer(architecture, layer))?;
        Ok(architecture)
    }

    fn layer(&mut self, architecture: &str, layer: usize) -> Result<()> {
        for (part, name) in [
            (LayerPart::AttentionNorm, "attn_norm"),
            (LayerPart::FeedForwardNorm, "ffn_norm"),
            (LayerPart::QueryNorm, "attn_q_norm"),
            (LayerPart::KeyNorm, "attn_k_norm"),
        ] {
            self.vector(&format!("blk.{layer}.{name}.weight"), Part::Layer(layer, part), RowOrder::Same)?;
        }
        for (place, projection) in PROJECTIONS.iter().enumerate() {
            let norm = Part::Layer(layer, LayerPart::InputNorm(place));
            match (self.sub_norms.name(place), self.inventory.get(norm)) {
                (Some(name), _) => self.vector(&format!("blk.{layer}.{name}.weight"), norm, RowOrder::Same)?,
                (None, Some(stored)) => {
                    self.dropped.push(Dropped { name: stored.name.clone(), reason: "SubLN norm, dropped as asked" });
                }
                (None, None) => {}
            }
            let order = match architecture {
                "llama" | "minicpm" if [Q, K].contains(&place) => {
                    RowOrder::Interleaved { head_dim: self.config.head_dim as usize }
                }
                _ => RowOrder::Same,
            };
            let prefix = format!("blk.{layer}.{}", projection.name);
            self.linear(format!("{prefix}.weight"), layer, place, order)?;
            self.vector(&format!("{prefix}.bias"), Part::Layer(layer, LayerPart::Bias(place)), order)?;
        }
        Ok(())
    }

    /// A vector, if the checkpoint has it.
    fn vector(&mut self, name: &str, part: Part, order: RowOrder) -> Result<()> {
        let Some(stored) = self.inventory.get(part) else { return Ok(()) };
        stored.floats()?;
        let len = stored.shape[0];
        let matrix = Matrix { weight: stored.clone(), rows: len, cols: 1, order };
        self.add(name.to_owned(), vec![len as u64], GgmlType::F32, Some(stored), Recipe::Float(matrix), None);
        Ok(())
    }

    /// The embedding or the output head.
    fn table(&mut self, name: &str, part: Part) -> Result<()> {
        let stored = self.inventory.require(part)?;
        let own = stored.floats()?;
        let wanted = match (self.options.embedding_type, self.options.ty) {
            (Some(ty), _) => ty,
            (None, Some(GgmlType::Q4_0)) => GgmlType::Q8_0,
            (None, Some(ty)) if !ty.is_ternary() => ty,
            (None, _) => match self.because {
                Some(_) => own,
                None => half(stored)?,
            },
        };
        let (rows, cols) = (stored.shape[0], stored.shape[1]);
        let (ty, fallback) = fitting(wanted, cols);
        let matrix = Matrix { weight: stored.clone(), rows, cols, order: RowOrder::Same };
        self.add(name.into(), vec![cols as u64, rows as u64], ty, Some(stored), Recipe::Float(matrix), fallback);
        Ok(())
    }

    fn linear(&mut self, name: String, layer: usize, place: usize, order: RowOrder) -> Result<()> {
        let stored = self.inventory.require(Part::Layer(layer, LayerPart::Weight(place)))?;
        let (rows, cols) = self.config.shape(place);
        let matrix = Matrix { weight: stored.clone(), rows, cols, order };
        let module = format!("model.layers.{layer}.{}", PROJECTIONS[place].module);
        let scale = self.inventory.get(Part::Layer(layer, LayerPart::WeightScale(place)));
        let grouped = self.because == Some(THREE_VALUED_GROUPS);
        let (wanted, recipe) = if self.because.is_some() && !grouped && !self.is_excluded(&module) {
            if stored.dtype != Dtype::U8 {
                stored.floats()?;
            }
            let class = self.config.bitnet.as_ref().map(|bitnet| bitnet.weight_scale);
            let scale = match (scale, class) {
                (Some(scale), Some(class)) => {
                    self.weight_scale = Some(if class == WeightScale::Multiply { "multiply" } else { "divide" });
                    Some((scale.clone(), class))
                }
                (Some(scale), None) => bail!(
                    Malformed,
                    "tensor {} has a meaning only with a quantization_config, which config.json does not have: it would say whether to multiply or to divide",
                    scale.name
                ),
                (None, _) => None,
            };
            let layer = BitLinear { scale, masters: self.because != Some(THREE_VALUED) };
            (self.options.ty.unwrap_or(GgmlType::Q2_0), Recipe::BitLinear(matrix, layer))
        } else if grouped && self.options.ty.is_none_or(GgmlType::is_ternary) {
            (self.options.ty.unwrap_or(GgmlType::Q2_0), Recipe::Groups(matrix))
        } else {
            if let Some(scale) = scale {
                bail!(Malformed, "tensor {} scales a layer that is not BitLinear", scale.name);
            }
            let half = half(stored)?;
            let wanted = self.options.ty.filter(|ty| !ty.is_ternary()).unwrap_or(half);
            (wanted, Recipe::Float(matrix))
        };
        let (ty, fallback) = fitting(wanted, cols);
        let dims = vec![cols as u64, rows as u64];
        match recipe {
            Recipe::BitLinear(matrix, layer) if self.options.scales == Scales::F32 && ty.has_ternary_blocks() => {
                let scale = format!("{}scale", name.trim_end_matches("weight"));
                self.add(name, dims, ty, Some(stored), Recipe::Codes(matrix, layer), fallback);
                self.add(scale, vec![1], GgmlType::F32, Some(stored), Recipe::Scale, None);
            }
            recipe => self.add(name, dims, ty, Some(stored), recipe, fallback),
        }
        Ok(())
    }

    fn add(
        &mut self,
        name: String,
        dims: Vec<u64>,
        ty: GgmlType,
        source: Option<&Stored>,
        recipe: Recipe,
        fallback: Option<String>,
    ) {
        if let Some(why) = &fallback {
            self.find(findings::model::fallback(&name, ty.name(), why));
        }
        self.tensors.push(TensorReport {
            name: name.clone(),
            source: source.map(|stored| stored.name.clone()),
            source_type: source.map(|stored| format!("{:?}", stored.dtype)),
            ty: ty.name(),
            dims: dims.clone(),
            fallback,
            origin: None,
            scale: None,
            group: None,
            zeros: None,
        });
        self.outputs.push(Output { spec: TensorSpec { name, dims, ty }, recipe });
    }

    fn find(&mut self, finding: Finding) {
        findings::add(&mut self.findings, finding);
    }

    /// Whether `modules_to_not_convert` names the module or one around it.
    fn is_excluded(&self, module: &str) -> bool {
        let excluded = self.config.bitnet.as_ref().map_or(&[][..], |bitnet| &bitnet.dense_modules);
        excluded.iter().any(|pattern| format!(".{module}.").contains(&format!(".{pattern}.")))
    }

    /// Whether the output head goes into the file: not when it is the embedding.
    fn keep_head(&mut self) -> Result<bool> {
        let Some(head) = self.inventory.get(Part::Head) else {
            if self.config.tied == Some(false) {
                bail!(
                    Malformed,
                    "config.json says that the output head is not the embedding, but there is no lm_head.weight"
                );
            }
            return Ok(false);
        };
        let embedding = self.inventory.require(Part::Embedding)?;
        if equal(self.files, head, embedding)? {
            self.dropped
                .push(Dropped { name: head.name.clone(), reason: "equals the embedding, which is used in its place" });
            return Ok(false);
        }
        if self.config.tied == Some(true) {
            let message =
                format!("tie_word_embeddings is true, but {} differs from the embedding: it is kept", head.name);
            self.find(Finding::note("head-kept", message));
        }
        Ok(true)
    }

    /// The architecture of the file. SubLN makes it `bitnet`, which has no head or window of its
    /// own: models with either stay `llama`.
    fn architecture(&self, keep_head: bool) -> &'static str {
        let plain = self.sub_norms == SubNorms::None || keep_head || self.config.window.is_some();
        match self.config.class {
            Class::Qwen2 => "qwen2",
            Class::Qwen3 => "qwen3",
            Class::MiniCpm => "minicpm",
            Class::Llama | Class::Mistral | Class::BitNet if plain => "llama",
            Class::Llama | Class::Mistral | Class::BitNet => "bitnet",
        }
    }

    fn finish(mut self, architecture: &'static str, config_text: &str) -> Result<Plan> {
        if let Some(finding) = findings::model::sub_norms(architecture, self.sub_norms.as_str()) {
            self.find(finding);
        }
        if self.options.ty == Some(GgmlType::Q4_0) && self.because.is_some() {
            let message = "Q4_0 cannot hold ternary weights exactly: one of the two signs becomes 7/8 of its value";
            self.find(Finding::warning("lossy-type", message).remedy("choose q2_0, which is smaller and exact"));
        }
        if self.options.ty == Some(GgmlType::I2S) && self.because == Some(THREE_VALUED_GROUPS) {
            bail!(BadOption, "I2_S has one scale for a tensor, and these layers have one for each group; choose q2_0");
        }
        let rounds = |ty: &GgmlType| matches!(ty, GgmlType::Q8_0 | GgmlType::Q4_0);
        if let Some(ty) = self.options.ty.filter(|ty| rounds(ty) && self.because.is_some()) {
            let message = format!(
                "the weights are ternary, but stored as {ty}: BitLinear layers will run without int8 activations"
            );
            self.find(Finding::note("float-ternary", message).remedy("choose q2_0 to run them as they were trained"));
        }
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", architecture);
        if let Some(name) = &self.options.name {
            metadata.insert("general.name", name.as_str());
        }
        let linear = match (self.options.ty, self.because) {
            (Some(ty), _) => ty,
            (None, Some(_)) => GgmlType::Q2_0,
            (None, None) => half(self.inventory.require(Part::Layer(0, LayerPart::Weight(Q)))?)?,
        };
        if let Some(file_type) = metadata::file_type(linear) {
            metadata.insert("general.file_type", file_type);
        }
        let sub_epsilon =
            self.inventory.norm_style.filter(|_| self.sub_norms != SubNorms::None).map(|style| match style {
                NormStyle::SubLn => 1e-6,
                NormStyle::BitNet => self.config.epsilon,
                NormStyle::InLayer => self.config.bitnet.as_ref().map_or(1e-6, |bitnet| bitnet.norm_epsilon),
            });
        metadata::extend(&mut metadata, &metadata::shape(self.config, architecture, sub_epsilon));
        let tokens = metadata::tokenizer(self.files, config_text, self.config, &mut self.findings)?;
        metadata::extend(&mut metadata, &tokens);
        let diffusion = diffusion(self.files, self.config, self.options, &mut metadata, &mut self.findings)?;

        let specs: Vec<TensorSpec> = self.outputs.iter().map(|output| output.spec.clone()).collect();
        let writer = Writer::new(std::io::sink(), &metadata, &specs)?;
        check_headers(&[writer.header()])?;
        let report = Report {
            class: self.config.class_name.clone(),
            architecture,
            ternary_because: self.because,
            weight_scale: self.weight_scale,
            sub_norms: self.sub_norms.as_str(),
            tokenizer: tokenizer::describe(&metadata)?,
            chat_template: metadata.string("tokenizer.chat_template")?.is_some(),
            modes: decode_modes(diffusion.as_ref()),
            mask_token_text: diffusion.as_ref().and_then(|info| tokenizer::spelling(&metadata, info.mask_token)),
            diffusion,
            bytes: writer.header().tensors.iter().map(|info| info.bytes).sum(),
            tensors: self.tensors,
            dropped: self.dropped,
            findings: self.findings,
        };
        Ok(Plan { metadata, outputs: self.outputs, report })
    }
}

const THREE_VALUED: &str = "the first layer's weights are three-valued";
const THREE_VALUED_GROUPS: &str = "the first layer's weights are three-valued in each group of columns";

/// Why linear layers are ternary: without a reason, weights are not ternarized.
fn evidence(
    files: &mut dyn Files,
    config: &Config,
    inventory: &Inventory,
    options: &ConvertOptions,
) -> Result<Option<&'static str>> {
    if options.ternarize {
        return Ok(Some("the caller says so"));
    }
    if config.class == Class::BitNet {
        return Ok(Some("the class is BitNet"));
    }
    if config.bitnet.is_some() {
        return Ok(Some("config.json has a BitNet quantization_config"));
    }
    if inventory.sub_norms != SubNorms::None {
        return Ok(Some("the layers have SubLN norms"));
    }
    let first = inventory.require(Part::Layer(0, LayerPart::Weight(Q)))?;
    if first.dtype == Dtype::U8 {
        return Ok(Some("the weights are packed"));
    }
    let (rows, cols) = config.shape(Q);
    let matrix = Matrix { weight: first.clone(), rows, cols, order: RowOrder::Same };
    let weights = floats(files, &matrix)?;
    if weights.iter().all(|&weight| weight == 0.0) {
        return Ok(None);
    }
    let whole = detect_ternary(&weights).map(|_| THREE_VALUED);
    Ok(whole.or_else(|| TernaryGroups::detect(&weights, cols).map(|_| THREE_VALUED_GROUPS)))
}

/// The 16-bit type nearest to what a tensor has.
fn half(stored: &Stored) -> Result<GgmlType> {
    Ok(if stored.floats()? == GgmlType::Bf16 { GgmlType::Bf16 } else { GgmlType::F16 })
}

/// `wanted`, or the next best type whose blocks fit rows of `cols` weights, and why.
fn fitting(wanted: GgmlType, cols: usize) -> (GgmlType, Option<String>) {
    let fits = |ty: &GgmlType| cols.is_multiple_of(ty.block_len());
    if fits(&wanted) {
        return (wanted, None);
    }
    let ty = Some(GgmlType::Q2_0).filter(|ty| wanted.is_ternary() && fits(ty)).unwrap_or(GgmlType::F16);
    let why = format!("rows of {cols} weights are not whole blocks of {} as {wanted} has them", wanted.block_len());
    (ty, Some(why))
}

/// Whether two tensors are the same bytes.
fn equal(files: &mut dyn Files, a: &Stored, b: &Stored) -> Result<bool> {
    if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    for at in (0..a.bytes).step_by(CHUNK) {
        let len = CHUNK.min((a.bytes - at) as usize);
        a.read(files, at, &mut left[..len])?;
        b.read(files, at, &mut right[..len])?;
        if left[..len] != right[..len] {
            return Ok(false);
        }
    }
    Ok(true)
}
