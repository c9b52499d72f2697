"""From conversations to batches of tokens."""

import collections
import random
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus

BLOCK, VOCABULARY = 32, 512
TOKENS = 4096  # In a batch, at most.
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
    tokenizer.train_from_iterator((plain(corpus.sample(r)[0]) for _ in range(conversations)), trainer)
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


@dataclass(frozen=True)
class Batch:
    """Tokens and which of them the assistant wrote, [rows, length] each, and the task of each row's last answer."""

    tokens: torch.Tensor
    answer: torch.Tensor
    tasks: list

    def half(self):
        """Every other row."""
        return Batch(self.tokens[::2], self.answer[::2], self.tasks[::2])

    def to(self, device):
        return Batch(self.tokens.to(device), self.answer.to(device), self.tasks)


def batches(tokenizer, r, weights):
    """Endless batches of conversations of as many blocks. `weights()` says how often to draw each task.

    The rest of a row is masks.
    """
    waiting = collections.defaultdict(list)
    while True:
        turns, task = corpus.sample(r, weights())
        tokens, answer = encode(tokenizer, turns)
        rest = -len(tokens) % BLOCK
        length = len(tokens) + rest
        rows = waiting[length]
        rows.append((tokens + [MASK] * rest, answer + [False] * rest, task))
        if len(rows) == TOKENS // length:
            tokens, answer, tasks = zip(*waiting.pop(length))
            yield Batch(torch.tensor(tokens), torch.tensor(answer), tasks)
