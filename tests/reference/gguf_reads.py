"""Converts every golden checkpoint to every type and has the `gguf` package of PyPI read the files: keys, names, shapes, types,
and bytes, which have to be those that the package's own encoders make of the checkpoint.

    pip install gguf numpy
    python tests/reference/gguf_reads.py target/debug/webtern

gguf 0.19.0 knows neither Q2_0 (type 42), which llama.cpp has had since then, nor I2_S (type 36), which only bitnet.cpp has. It
refuses such files as a whole, and is asked to; then it is told the two types, and has to read everything.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from unittest import mock

from ternary import BLOCKS, I2_S, Q2_0, i2_s, q2_0

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFReader, Keys, quants
from gguf.constants import GGML_QUANT_SIZES

CHECKPOINTS = Path(__file__).resolve().parents[1] / "golden" / "checkpoints"
FLOAT_TYPES = ["f32", "f16", "bf16", "q8_0", "q4_0"]
TERNARY_TYPES = ["q2_0", "tq1_0", "tq2_0", "i2_s"]
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32, "tq1_0": 36, "tq2_0": 37, "i2_s": 40, "q2_0": 41}
ARCHITECTURES = {
    "llama": "llama", "smollm2": "llama", "mistral": "llama", "qwen2": "qwen2", "fast": "qwen2", "qwen3": "qwen3",
    "bitnet": "bitnet", "subln": "bitnet",
}
EXCEPTIONS = {"subln-scale": "qwen2", "rhyme-llama": "llama", "rhyme-qwen2": "qwen2"}

Known = IntEnum("Known", {ty.name: ty.value for ty in T} | {"Q2_0": Q2_0, "I2_S": I2_S})
SIZES = GGML_QUANT_SIZES | BLOCKS


def tensors_of(path):
    """Name to array; bfloat16 as float32."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    for name, info in header.items():
        raw = np.frombuffer(data, np.uint8)[start:][slice(*info["data_offsets"])]
        if info["dtype"] == "BF16":
            values = (raw.view("<u2").astype("<u4") << 16).view("<f4")
        else:
            values = raw.view({"F32": "<f4", "U8": "u1"}[info["dtype"]])
        yield name, values.reshape(info["shape"])


class Checkpoint:
    def __init__(self, folder):
        self.name = folder.name
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = dict(tensors_of(folder / "model.safetensors"))
        self.arch = EXCEPTIONS.get(self.name) or ARCHITECTURES[self.name.split("-")[0]]
        self.is_ternary = self.name.startswith(("bitnet", "subln", "rhyme"))
        self.sub_norms = 7 if self.name == "subln-seven" else 2 * self.name.startswith(("bitnet", "subln"))
        arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == self.arch)
        self.names = gguf.TensorNameMap(arch, self.config["num_hidden_layers"])

    def rope(self):
        """In the spelling of transformers 5."""
        c = self.config
        scaling = c.get("rope_scaling") or {"type": "default"}
        return c.get("rope_parameters") or scaling | {"rope_theta": c["rope_theta"], "rope_type": scaling["type"]}

    def gguf_name(self, name):
        """What the package calls a tensor of transformers; SubLN norms it does not know."""
        stem, _, kind = name.replace("_proj_scale.", "_proj.0.").replace("_proj.1.", "_proj.").rpartition(".")
        if stem.endswith(".0"):
            projection = self.names.get_name(stem.removesuffix(".0"))
            if self.sub_norms == 7:
                return f"{projection}_norm_in.weight"
            return f"{projection.replace('attn_output', 'attn_sub_norm').replace('ffn_down', 'ffn_sub_norm')}.weight"
        if stem.endswith("sub_norm"):
            return f"blk.{stem.split('.')[2]}.{stem.split('.')[-1]}.weight"
        return f"{self.names.get_name(stem)}.{kind}"

    def order(self, gguf_name, weight):
        """Rows of a head in pairs, for architecture llama."""
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(gguf_name.split(".")[-2])
        if self.arch != "llama" or heads is None:
            return weight
        return weight.reshape(self.config[heads], 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)

    def ternary(self, name, weight):
        """Codes and scale of a BitLinear layer."""
        if weight.dtype != np.uint8:
            scale = np.float32(np.abs(weight).mean(dtype="f8"))
            return np.clip(np.rint(weight / scale), -1, 1) + 0.0, scale  # Zeros have no sign.
        scale = self.tensors[f"{name}_scale"][0]
        if self.config["quantization_config"]["linear_class"] == "bitlinear":
            scale = np.float32(1) / scale
        return np.concatenate([weight >> shift & 3 for shift in (0, 2, 4, 6)]).astype("f4") - 1, scale

    def expected(self, ty):
        """Name to shape, type and bytes of the file's tensors."""
        wanted = Known[ty.upper()]
        table = wanted if ty in FLOAT_TYPES else Known.BF16
        table = Known.Q8_0 if ty == "q4_0" else table
        for name, weight in self.tensors.items():
            if name.endswith("weight_scale"):
                continue
            to = self.gguf_name(name)
            weight = weight if weight.dtype == np.uint8 else self.order(to, weight)
            if weight.ndim == 1:
                yield to, (weight.shape, Known.F32, weight.tobytes())
                continue
            cols = weight.shape[1]
            if "blk" in to and self.is_ternary:
                codes, scale = self.ternary(name, self.tensors[name])
                codes = self.order(to, codes)
                as_type = next(ty for ty in (wanted, Known.Q2_0) if cols % SIZES[ty][0] == 0)
                encode = {Known.Q2_0: q2_0, Known.I2_S: i2_s}.get(as_type)
                data = encode(codes, scale) if encode else quants.quantize(codes * scale, T(as_type))
                yield to, (codes.shape, as_type, data.tobytes())
                continue
            as_type = wanted if "blk" in to else table
            as_type = as_type if cols % SIZES[as_type][0] == 0 else Known.F16
            yield to, (weight.shape, as_type, quants.quantize(weight, T(as_type)).tobytes())

    def metadata(self, ty):
        c, arch, rope = self.config, self.arch, self.rope()
        head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        tokenizer = json.loads((CHECKPOINTS / "tokenizer" / "tokenizer.json").read_text())
        vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
        special = {token["id"] for token in tokenizer["added_tokens"]}
        of_arch = {
            Keys.LLM.CONTEXT_LENGTH: c["max_position_embeddings"], Keys.LLM.EMBEDDING_LENGTH: c["hidden_size"],
            Keys.LLM.BLOCK_COUNT: c["num_hidden_layers"], Keys.LLM.FEED_FORWARD_LENGTH: c["intermediate_size"],
            Keys.LLM.VOCAB_SIZE: c["vocab_size"], Keys.Attention.HEAD_COUNT: c["num_attention_heads"],
            Keys.Attention.HEAD_COUNT_KV: c["num_key_value_heads"], Keys.Attention.KEY_LENGTH: head_dim,
            Keys.Attention.VALUE_LENGTH: head_dim, Keys.Rope.DIMENSION_COUNT: head_dim, Keys.Rope.FREQ_BASE: rope["rope_theta"],
            Keys.Attention.LAYERNORM_RMS_EPS: c["rms_norm_eps"], "{arch}.hidden_activation": c["hidden_act"],
        }
        if self.sub_norms:
            of_arch["{arch}.attention.sub_norm_epsilon"] = c["rms_norm_eps"] if self.name.startswith("bitnet") else 1e-6
        if self.name == "mistral":
            of_arch[Keys.Attention.SLIDING_WINDOW] = c["sliding_window"]
        kind = rope["rope_type"]
        if kind in ("linear", "yarn"):
            of_arch |= {Keys.Rope.SCALING_TYPE: kind, Keys.Rope.SCALING_FACTOR: rope["factor"]}
        if kind == "yarn":
            of_arch[Keys.Rope.SCALING_ORIG_CTX_LEN] = rope["original_max_position_embeddings"]
        if "attention_factor" in rope:
            of_arch |= {
                Keys.Rope.SCALING_YARN_BETA_FAST: rope["beta_fast"], Keys.Rope.SCALING_YARN_BETA_SLOW: rope["beta_slow"],
                Keys.Rope.SCALING_ATTN_FACTOR: rope["attention_factor"] / (1 + 0.1 * np.log(rope["factor"])),
            }
        return {key.format(arch=arch): value for key, value in of_arch.items()} | {
            Keys.General.NAME: self.name, Keys.General.ARCHITECTURE: arch, Keys.General.FILE_TYPE: FILE_TYPES[ty], Keys.Tokenizer.MODEL: "gpt2",
            Keys.Tokenizer.PRE: "gpt-2", Keys.Tokenizer.LIST: vocabulary,
            Keys.Tokenizer.MERGES: [" ".join(merge) for merge in tokenizer["model"]["merges"]],
            Keys.Tokenizer.TOKEN_TYPE: [3 if i in special else 1 for i in range(len(vocabulary))],
            Keys.Tokenizer.BOS_ID: 0, Keys.Tokenizer.EOS_ID: 0, Keys.Tokenizer.PAD_ID: 0, Keys.Tokenizer.MASK_ID: 1,
            Keys.Tokenizer.ADD_BOS: False, Keys.Tokenizer.ADD_EOS: False, Keys.Diffusion.SHIFT_LOGITS: True,
            "diffusion.block_size": c.get("bd_size", 32), "diffusion.attention": "block",
        }


def read(path):
    """The file by the package, which is told the types that it does not know."""
    with mock.patch("gguf.gguf_reader.GGMLQuantizationType", Known), mock.patch.dict(GGML_QUANT_SIZES, BLOCKS):
        return GGUFReader(path)


def check(checkpoint, ty, path):
    expected = dict(checkpoint.expected(ty))
    unknown = sorted({int(as_type) for _, as_type, _ in expected.values()} - {int(ty) for ty in T})
    try:
        GGUFReader(path)
        assert not unknown, f"the package reads types {unknown}: there is no need to tell it any more"
    except ValueError as error:
        assert unknown and any(str(number) in str(error) for number in unknown), error

    reader = read(path)
    found = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    wanted = checkpoint.metadata(ty)
    assert found.keys() == wanted.keys(), found.keys() ^ wanted.keys()
    for key, value in wanted.items():
        same = np.isclose(found[key], value, rtol=1e-6) if isinstance(value, float) else found[key] == value
        assert same, f"{key} is {found[key]}, not {value}"

    divisors = ["rope_freqs.weight"] if checkpoint.rope()["rope_type"] == "llama3" else []
    assert sorted(tensor.name for tensor in reader.tensors) == sorted([*expected, *divisors])
    for tensor in reader.tensors:
        if tensor.name in divisors:
            continue
        shape, as_type, data = expected[tensor.name]
        assert tensor.tensor_type == as_type, f"{tensor.name} is {tensor.tensor_type!r}, not {as_type!r}"
        assert tuple(tensor.shape[::-1]) == shape, f"{tensor.name} has shape {tensor.shape[::-1]}, not {shape}"
        assert tensor.data_offset % gguf.GGUF_DEFAULT_ALIGNMENT == 0, tensor.name
        here = reader.data[tensor.data_offset :][: len(data)].tobytes()
        assert here == data, f"{tensor.name} as {as_type.name} differs from what the package encodes"
    return {as_type.name for _, as_type, _ in expected.values()}


def main(webtern):
    seen, files = set(), 0
    for folder in sorted(path for path in CHECKPOINTS.iterdir() if (path / "config.json").exists()):
        checkpoint = Checkpoint(folder)
        with tempfile.TemporaryDirectory() as parent:
            whole = Path(parent) / checkpoint.name
            whole.mkdir()
            for part in [*folder.iterdir(), *(CHECKPOINTS / "tokenizer").iterdir()]:
                shutil.copy(part, whole)
            for ty in FLOAT_TYPES + TERNARY_TYPES * checkpoint.is_ternary:
                path = Path(parent) / f"{ty}.gguf"
                convert = [webtern, "--json", "convert", whole, "--type", ty, "--scales", "f16", "-o", path]
                subprocess.run(convert, check=True, stdout=subprocess.DEVNULL)
                try:
                    seen |= check(checkpoint, ty, path)
                except AssertionError as error:
                    sys.exit(f"{checkpoint.name} as {ty}: {error}")
                files += 1
    assert seen == {name.upper() for name in FILE_TYPES}, seen
    print(f"gguf {version('gguf')} reads {files} files of {len(seen)} types")


if __name__ == "__main__":
    main(*sys.argv[1:])
