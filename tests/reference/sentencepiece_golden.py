"""Makes tests/golden/sentencepiece: small sentencepiece models, and the ids that sentencepiece gives for texts.

    pip install sentencepiece==0.2.3
    python tests/reference/sentencepiece_golden.py

Two models are trained on the sentences below: one as Llama's was (bytes for unknown characters, every blank kept, a space in front),
one with an unknown token, extra blanks removed and no space in front.
"""

import io
import json
from pathlib import Path

import sentencepiece as spm

OUT = Path(__file__).parent.parent / "golden" / "sentencepiece"

SENTENCES = """
The quick brown fox jumps over the lazy dog, and the dog does not mind the fox at all.
What is the sum of twenty-four and sixty-four? The answer is eighty-eight.
for i in range(10):    print(i, end=" ")    # prints the numbers from 0 to 9
    if (x == 1) {        return x;    } else {        return -x;    }
A café in Zürich, a crème brûlée in Genève, and a naïve façade in Ærøskøbing.
Ελλάδα και Αθήνα. Привет, мир! Как дела? 你好，世界。今天天气很好。
In 1999 there were 365 days, in 2000 there were 366, in 2024 there were 366 again.
She said that the other one was there, and then that there was another one over there.
Whatever the weather, whether it rains or shines, the others gather together there.
""".strip().split("\n")

TEXTS = [
    "",
    " ",
    "   ",
    "the",
    " the",
    "the ",
    "The quick brown fox",
    "Hello, world! What is the answer?",
    "  two  spaces   and    more     ",
    "    if (x == 1) {\n        return x;\n    }",
    "tab\tnewline\ncarriage\r\nreturn",
    "1234567890 3.14 -2 1,000,000",
    "café crème brûlée",
    "Ελλάδα Привет 你好世界 今天",
    "日本語 한국어 العربية עברית हिन्दी",
    "😀 👩‍👩‍👧‍👦 🇧🇬 ½ ﬁ Ａ",
    "e\u0301 \u00a0 \u3000 \u200b \ufeff",
    "\u0000\u0001\u007f",
    "<s> </s> <unk> <0x41> <sep>text",
    "▁already▁escaped ▁",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "theretherethere over andand othether",
    "The\u2581quick",
    "mixed日本the本quick",
]

MODELS = {
    "bytes": dict(byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=True, vocab_size=480,
                  user_defined_symbols=["<sep>"], control_symbols=["|<MASK>|"]),
    "unknown": dict(byte_fallback=False, remove_extra_whitespaces=True, add_dummy_prefix=False, vocab_size=200,
                    pad_id=3),
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, options in MODELS.items():
        model = io.BytesIO()
        # From an iterator to memory: with files, their paths would be in the model.
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES * 4), model_writer=model, model_type="bpe",
            normalization_rule_name="identity", allow_whitespace_only_pieces=True, split_digits=True, num_threads=1,
            minloglevel=2, **options,
        )
        (OUT / f"{name}.model").write_bytes(model.getvalue())
        processor = spm.SentencePieceProcessor(model_proto=model.getvalue())
        # User-defined symbols cut a text differently: see src/convert/tokenizer/sentencepiece.rs.
        texts = [text for text in TEXTS if name != "bytes" or "<sep>" not in text]
        cases[name] = [{"text": text, "ids": processor.encode(text)} for text in texts]
    lines = [f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(case) for case in cases[name]) + "\n]" for name in cases]
    (OUT / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
