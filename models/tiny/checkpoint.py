"""Writes the model as a Hugging Face checkpoint, which `webtern convert` reads.

Ternary weights are stored as the numbers they stand for, with a scale that float16 holds exactly. So every type that
the file can have, from TQ1_0 to F16, is the same model.
"""

import json

from safetensors.torch import save_file

from data import BLOCK, END, MASK, SPECIAL, TEMPLATE
from model import BitLinear, ternary


# The last norm's gain is lowered by this: the same best tokens, with less confidence (temperature scaling, arXiv:1706.04599).
# Trained to the end on answers that are never in doubt, the model is surer of several tokens at once than it is right.
CONFIDENCE = 0.4


def export(model, folder, confidence=CONFIDENCE):
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, BitLinear):
            scale, codes = ternary(tensors[f"{name}.weight"])
            tensors[f"{name}.weight"] = codes.half() * scale.half()
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * confidence
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    shape = model.shape
    config = dict(
        architectures=["BitNetForCausalLM"], model_type="llama", vocab_size=shape.vocabulary, hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, hidden_act="silu", rms_norm_eps=shape.epsilon,
        max_position_embeddings=shape.context, rope_theta=shape.rope_base, tie_word_embeddings=True, bos_token_id=0,
        eos_token_id=END,
    )
    tokens = dict(bos_token=SPECIAL[0], eos_token=SPECIAL[END], chat_template=TEMPLATE)
    # Trained under both masks; the tokens a pass are those of `webtern eval` in mode adaptive.
    diffusion = dict(
        mask_token_id=MASK, mask_token=SPECIAL[MASK], bd_size=BLOCK, autoregressive=True, tokens_per_pass=5.4,
    )
    for name, content in [("config", config), ("tokenizer_config", tokens), ("dlm_config", diffusion)]:
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
