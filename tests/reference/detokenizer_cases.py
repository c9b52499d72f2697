"""Byte-level tokenizers of every kind that webtern supports, texts with their ids and random ids with their texts, by the
`tokenizers` package: the expected values of tests/it/detokenizer.rs.

usage: detokenizer_cases.py OUT_FOLDER [--count 10000] [--seed 1]

Writes OUT_FOLDER/NAME.json, a tokenizer trained on the words of tokenizer_cases.py, and OUT_FOLDER/NAME.jsonl, with one
{"ids", "text", "plain"} a line: what the ids decode to, with and without special tokens.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenizer_cases import CODE, EMOJI, NUMBERS, PUNCTUATION, WORDS

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), BYTES])


# By the name that tokenizer.ggml.pre has for them. `default` and `falcon` have no tokenizer.json that converts; they
# decode as the others do.
PRE_TOKENIZERS = {
    "gpt-2": GPT2,
    "llama-bpe": split(LLAMA3),
    "qwen2": split(QWEN2),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2]),
    "default": GPT2,
    "falcon": GPT2,
}

# Added tokens in ASCII: with others, `tokenizers` takes their characters for bytes.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"]
ADDED = ["<think>", "</think>", "[gMASK]", "  ", " .", "n't", "\t\t"]


def train(name, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1500, min_frequency=1, show_progress=False, special_tokens=SPECIAL,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    words = WORDS + CODE + EMOJI + NUMBERS + PUNCTUATION
    tokenizer.train_from_iterator([f"{a} {b}" for a in words for b in words[:40]], trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    return tokenizer


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--count", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    for name, pre_tokenizer in PRE_TOKENIZERS.items():
        tokenizer = train(name, pre_tokenizer)
        tokenizer.save(str(options.folder / f"{name}.json"))
        size = tokenizer.get_vocab_size()
        # Blanks before punctuation and contractions, which `clean_up_tokenization_spaces` would take away.
        blanks = [tokenizer.token_to_id(token) for token in ["Ġ", ".", ",", "!", "?", "'", *ADDED, *SPECIAL]]
        blanks = [token for token in blanks if token is not None]
        rng = random.Random(options.seed)
        with open(options.folder / f"{name}.jsonl", "w", encoding="utf-8") as out:
            for _ in range(options.count):
                pick = lambda: rng.choice(blanks) if rng.randrange(4) == 0 else rng.randrange(size)
                ids = [pick() for _ in range(rng.choice([1, 1, 2, 3, 5, 8, 13]))]
                text, plain = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
                out.write(json.dumps({"ids": ids, "text": text, "plain": plain}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
