"""Writes tests/golden/checkpoints: tiny checkpoints as people have them, and their logits by `transformers` in float32.

    pip install accelerate numpy safetensors tokenizers torch transformers
    python tests/reference/checkpoint_golden.py

A folder holds config.json and model.safetensors as `save_pretrained` writes them, some of them edited into the form of other
programs; all share the tokenizer of `tokenizer/`. `transformers` then loads the folder anew, so that the logits are those of
the files. Layouts that it does not know, SubLN, are loaded into its own layers put together here. The logits and their tokens
are in NAME.safetensors; `block` in its metadata is the block size of the mask they were made under.

Weights are random, but for `rhyme-*`: ternary models trained for some seconds to say one rhyme, so that every next token is
far from all others. Other programs, which round otherwise, have to say it too.
"""

import json
import math
import shutil
from pathlib import Path

from tiny_models import CONTEXT, SUB_EPSILON, VOCAB, config, linears, logits, random_tokens, randomise, rope, seeded

import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import Sequential
from transformers.integrations.bitnet import AutoBitLinear, pack_weights
from transformers.models.llama.modeling_llama import LlamaRMSNorm

OUT = Path(__file__).resolve().parents[1] / "golden" / "checkpoints"
RHYME = (
    "one, two, buckle my shoe; three, four, knock at the door; five, six, pick up sticks; "
    "seven, eight, lay them straight; nine, ten, a big fat hen; "
)
PROMPT = "one, two, buckle my shoe;"
SUBLN_EPSILON = 1e-6
# Steps of training; the least distance of the two best logits after it.
STEPS, DECIDED = 500, 5.0
# Tokens after which one knows the place in the rhyme.
UNCLEAR = 8


def write_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<|endoftext|>", "|<MASK>|"], show_progress=False)
    tokenizer.train_from_iterator([RHYME], trainer)
    assert tokenizer.get_vocab_size() == VOCAB
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    fast.save_pretrained(OUT / "tokenizer")
    return fast


def save(model, folder):
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink()


def edit(folder, change):
    path = folder / "config.json"
    changed = json.loads(path.read_text())
    change(changed)
    path.write_text(json.dumps(changed, indent=2) + "\n")


def load(folder, model_class):
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    # Beside packed weights, transformers leaves the others in bfloat16, and does not want them changed.
    return torch.nn.Module.float(model).eval()


def case(name, model_class, c, *, count=28, block=None, write=save, read=load, prepare=lambda m: None):
    """Writes one checkpoint and what it computes, and returns what `transformers` makes of the files."""
    rng = seeded(name)
    model = model_class(c)
    prepare(model)
    randomise(model, rng, torch.bfloat16)
    folder = OUT / name
    write(model, folder)
    reference = read(folder, model_class)
    ids = random_tokens(reference, rng, count)
    values = logits(reference, ids, block)
    expected = {"tokens": torch.from_numpy(ids.astype("<i4")), "logits": torch.from_numpy(values)}
    save_file(expected, OUT / f"{name}.safetensors", metadata={"block": str(block)} if block else None)
    size = sum(path.stat().st_size for path in [*folder.iterdir(), OUT / f"{name}.safetensors"])
    print(f"{name:20} {size:6} bytes, logits of spread {values.std():.2f}")
    return reference


# --- configurations of other programs


def version_4(changed):
    """Rotary positions as transformers 4 spelt them."""
    parameters = changed.pop("rope_parameters")
    changed["rope_theta"] = parameters.pop("rope_theta")
    parameters["type"] = parameters.pop("rope_type")
    changed["rope_scaling"] = None if parameters["type"] == "default" else parameters
    changed["torch_dtype"] = changed.pop("dtype")


def save_version_4(model, folder):
    save(model, folder)
    edit(folder, version_4)


def save_fast_dllm(model, folder):
    save(model, folder)
    edit(folder, lambda changed: changed.update(
        architectures=["Fast_dLLM_QwenForCausalLM"], model_type="Fast_dLLM_Qwen", bd_size=8))


# --- BitNet weights, with scales that are exact in f16. A file holds them so, and a scale that is rounded moves other activations
# over the ties of int8, by whole steps. In models this small that shows.


def save_masters(model, folder):
    """Full-precision masters, whose mean magnitude is the scale."""
    for _, layer in linears(model):
        flat = layer.weight.data.flatten()
        total = flat.abs().double().sum().item()
        missing = np.float16(total / len(flat)).item() * len(flat) - total
        # From the largest down, each weight takes some of what is missing: up to one unit in the last place of its bfloat16.
        for i in flat.abs().argsort(descending=True).tolist():
            unit = 2.0 ** (math.frexp(flat[i].item())[1] - 8)
            if abs(missing) >= unit / 2:
                flat[i] += math.copysign(unit, missing) * flat[i].sign()
                missing -= math.copysign(unit, missing)
        assert abs(missing) < 1e-7 * total and torch.equal(flat, flat.bfloat16().float())
        layer.weight.data = flat.reshape(layer.weight.shape)
    save(model, folder)


def save_packed(model, folder):
    """As Microsoft's own checkpoints: codes, and a scale to multiply or to divide by."""
    divides = model.config.quantization_config["linear_class"] == "bitlinear"
    packed = {}
    for name, layer in linears(model):
        weight = layer.weight.detach()
        scale = weight.abs().mean()
        packed[f"{name}.weight"] = pack_weights((weight / scale).round().clamp(-1, 1))
        scale = scale.bfloat16().reshape(1)
        packed[f"{name}.weight_scale"] = 1 / scale.float() if divides else scale
    save(model, folder)
    path = folder / "model.safetensors"
    save_file(load_file(path) | packed, path, metadata={"format": "pt"})


def bitnet(mode, linear_class="autobitlinear"):
    return {
        "quant_method": "bitnet", "linear_class": linear_class, "quantization_mode": mode,
        "modules_to_not_convert": None, "use_rms_norm": False, "rms_norm_eps": 1e-6,
    }


# --- SubLN: a norm before a projection


def sub_norms(model, projections):
    """Puts the norms of SubLN before projections, which become BitLinear all."""
    for name, old in linears(model):
        layer = AutoBitLinear(old.in_features, old.out_features, bias=old.bias is not None, online_quant=True)
        if name.endswith(projections):
            layer = Sequential(LlamaRMSNorm(old.in_features, SUBLN_EPSILON), layer)
        model.set_submodule(name, layer)


TWO, SEVEN = ("o_proj", "down_proj"), ("_proj",)


class SubLn:
    """WrinkleFree's checkpoints: the names of the modules above, or gains `beside` the weights instead of in a `Sequential`."""

    def __init__(self, projections, *, beside=False, architecture="BitnetForCausalLM"):
        self.projections, self.beside, self.architecture = projections, beside, architecture

    def prepare(self, model):
        sub_norms(model, self.projections)

    def save(self, model, folder):
        save_masters(model, folder)
        edit(folder, lambda changed: changed.update(architectures=[self.architecture]))
        if self.beside:
            path = folder / "model.safetensors"
            spell = lambda name: name.replace("_proj.0.weight", "_proj_scale.weight").replace("_proj.1.", "_proj.")
            save_file({spell(name): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})

    def load(self, folder, model_class):
        model = model_class(model_class.config_class.from_pretrained(folder, attn_implementation="eager"))
        sub_norms(model, self.projections)
        tensors = load_file(folder / "model.safetensors")
        if self.beside:
            for name in [name for name in tensors if name.endswith("_scale.weight")]:
                module = name.removesuffix("_scale.weight")
                tensors[f"{module}.0.weight"] = tensors.pop(name)
                for part in ("weight", "bias"):
                    if f"{module}.{part}" in tensors:
                        tensors[f"{module}.1.{part}"] = tensors.pop(f"{module}.{part}")
        left = model.load_state_dict(tensors, strict=False)
        assert set(left.missing_keys) <= {"lm_head.weight"} and not left.unexpected_keys, left
        return model.float().eval()


def sub_ln(name, model_class, c, *args, **options):
    layout = SubLn(*args, **options)
    case(name, model_class, c, prepare=layout.prepare, write=layout.save, read=layout.load)


# --- the rhyme


def train(model, ids):
    """Trains masters whose layers are ternary from the start, with straight-through gradients."""
    for name, old in linears(model):
        layer = AutoBitLinear(old.in_features, old.out_features, bias=old.bias is not None, online_quant=True)
        layer.load_state_dict(old.state_dict())
        model.set_submodule(name, layer)
    torch.manual_seed(0)
    text = torch.tensor(ids * (2 + CONTEXT // len(ids)))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, STEPS)
    for _ in range(STEPS):
        starts = torch.randint(len(ids), (16,))
        batch = torch.stack([text[start : start + CONTEXT] for start in starts])
        labels = batch.clone()
        labels[:, :UNCLEAR] = -100
        optimizer.zero_grad()
        model(batch, labels=labels).loss.backward()
        optimizer.step()
        schedule.step()


def rhyme(name, model_class, c, tokenizer):
    ids, prompt = tokenizer(RHYME)["input_ids"], tokenizer(PROMPT)["input_ids"]
    assert ids[: len(prompt)] == prompt

    def write(model, folder):
        train(model, ids)
        save_packed(model, folder)

    model = case(name, model_class, c, write=write)
    said = np.array((ids + ids)[: len(prompt) + 32])
    values = logits(model, said)[len(prompt) - 1 : -1]
    assert values.argmax(1).tolist() == said[len(prompt) :].tolist(), "the model does not say the rhyme"
    best = np.sort(values, axis=1)
    gap = (best[:, -1] - best[:, -2]).min()
    assert gap > DECIDED, f"the best two logits are {gap} apart"


def main():
    torch.set_num_threads(1)
    hf.logging.disable_progress_bar()
    shutil.rmtree(OUT, ignore_errors=True)
    tokenizer = write_tokenizer()

    llama = hf.LlamaForCausalLM
    case("llama-tied", llama, config(hf.LlamaConfig), write=save_version_4)
    case("llama-untied", llama, config(hf.LlamaConfig, tie_word_embeddings=False), count=76)
    case("llama-biases", llama, config(hf.LlamaConfig, attention_bias=True, mlp_bias=True))
    case("llama-linear", llama, config(hf.LlamaConfig, rope_parameters=rope("linear", factor=4.0)), write=save_version_4)
    two_heads = dict(num_attention_heads=2, num_key_value_heads=1, head_dim=12)
    case("llama-llama3", llama, config(hf.LlamaConfig, **two_heads, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)))
    yarn = dict(factor=4.0, original_max_position_embeddings=64)
    case("llama-yarn", llama, config(hf.LlamaConfig, **two_heads, rope_parameters=rope("yarn", **yarn)))
    # SmolLM2-135M's proportions.
    case("smollm2", llama, config(
        hf.LlamaConfig, hidden_size=36, intermediate_size=96, num_attention_heads=9, num_key_value_heads=3, head_dim=4,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0}))
    case("mistral", hf.MistralForCausalLM, config(hf.MistralConfig, sliding_window=7))
    qwen2 = hf.Qwen2ForCausalLM
    case("qwen2", qwen2, config(hf.Qwen2Config), write=save_version_4)
    case("qwen2-yarn", qwen2, config(hf.Qwen2Config, **two_heads, rope_parameters=rope(
        "yarn", attention_factor=0.8, beta_fast=8.0, beta_slow=0.5, **yarn)))
    case("fast-dllm", qwen2, config(hf.Qwen2Config, tie_word_embeddings=False), count=76, block=8, write=save_fast_dllm)
    case("qwen3", hf.Qwen3ForCausalLM, config(hf.Qwen3Config, head_dim=10))

    small = dict(hidden_size=64, intermediate_size=64, num_attention_heads=4, num_key_value_heads=1, head_dim=16)
    case("bitnet-online", hf.BitNetForCausalLM, config(
        hf.BitNetConfig, **small, rms_norm_eps=SUB_EPSILON, quantization_config=bitnet("online")), write=save_masters)
    wide = dict(hidden_size=128, intermediate_size=256, num_attention_heads=4, num_key_value_heads=1, head_dim=32,
                num_hidden_layers=1)
    case("bitnet-autobitlinear", hf.BitNetForCausalLM, config(
        hf.BitNetConfig, **wide, quantization_config=bitnet("offline")), write=save_packed)
    case("bitnet-bitlinear", hf.BitNetForCausalLM, config(
        hf.BitNetConfig, **(small | dict(intermediate_size=128)), hidden_act="silu",
        quantization_config=bitnet("offline", "bitlinear")), write=save_packed)
    sub_ln("subln-two", llama, config(hf.LlamaConfig, **small, rms_norm_eps=SUB_EPSILON), TWO)
    sub_ln("subln-seven", llama, config(hf.LlamaConfig, **small, num_hidden_layers=1, rms_norm_eps=SUB_EPSILON), SEVEN)
    sub_ln("subln-scale", qwen2, config(hf.Qwen2Config, **small, num_hidden_layers=1, rms_norm_eps=SUB_EPSILON), TWO,
           beside=True, architecture="Qwen2ForCausalLM")

    trained = small | dict(intermediate_size=128, rms_norm_eps=1e-5)
    rhyme("rhyme-llama", llama, config(hf.LlamaConfig, **trained, quantization_config=bitnet("offline")), tokenizer)
    # Not an AutoBitLinear: that multiplies the biases by the scale, too, when its weights are packed.
    rhyme("rhyme-qwen2", qwen2, config(hf.Qwen2Config, **trained, quantization_config=bitnet("offline", "bitlinear")),
          tokenizer)


if __name__ == "__main__":
    main()
