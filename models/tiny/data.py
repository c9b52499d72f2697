"""From conversations to batches of tokens."""

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

BLOCK, VOCABULARY = 32, 512
LENGTHS = [32, 64, 96, 128, 192]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "|<MASK>|"]
END, MASK = 2, 3
ROLES = "user", "assistant"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(path, conversations=20_000):
    """Byte-level BPE with single digits, trained on the corpus; the same every time."""
    r = random.Random(0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((plain(corpus.sample(r)) for _ in range(conversations)), trainer)
    tokenizer.save(str(path))
    return tokenizer


def plain(turns):
    return "".join(f"{ROLES[index % 2]}\n{text}\n" for index, text in enumerate(turns))


def encode(tokenizer, turns):
    """Tokens of a conversation as `TEMPLATE` writes it, and which of them the assistant wrote."""
    tokens, answer = [], []
    for index, text in enumerate(turns):
        role, between = ROLES[index % 2], "\n" if index else ""
        head = tokenizer.encode(f"{between}<|im_start|>{role}\n").ids
        body = tokenizer.encode(f"{text}<|im_end|>").ids
        tokens += head + body
        answer += [False] * len(head) + [role == "assistant"] * len(body)
    return tokens, answer


def batches(tokenizer, r, rows=64, pool=16):
    """Endless batches: tokens and what the assistant wrote of them, [rows, length] each.

    Conversations of similar length come together; lengths are whole blocks, and the rest of a row is masks.
    """
    while True:
        encoded = [encode(tokenizer, corpus.sample(r)) for _ in range(rows * pool)]
        encoded = sorted((pair for pair in encoded if len(pair[0]) <= LENGTHS[-1]), key=lambda pair: len(pair[0]))
        groups = [encoded[at : at + rows] for at in range(0, len(encoded) - rows + 1, rows)]
        r.shuffle(groups)
        for group in groups:
            length = next(length for length in LENGTHS if length >= len(group[-1][0]))
            tokens = torch.full((rows, length), MASK)
            answer = torch.zeros(rows, length, dtype=torch.bool)
            for row, (ids, own) in enumerate(group):
                tokens[row, : len(ids)] = torch.tensor(ids)
                answer[row, : len(ids)] = torch.tensor(own)
            order = torch.randperm(rows)
            yield tokens[order], answer[order]
