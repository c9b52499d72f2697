"""Random texts and their ids by the `tokenizers` package: the expected values of tests/tokenizer.rs.

usage: tokenizer_cases.py TOKENIZER_JSON OUT.jsonl [--count 10000] [--seed 1]

Writes one {"text", "ids"} a line. The test reads OUT.jsonl from the folder that WEBTERN_TOKENIZER_CASES names, as `smollm2.jsonl`
or `tiny-dlm.jsonl`.
"""

import argparse
import json
import random

from tokenizers import Tokenizer

WORDS = (
    "the quick brown fox hello Hello HELLO world it's they'll we'VE don't I'm you'd he'S 'tis antidisestablishmentarianism "
    "naïve café Führer Ärger Straße ñandú Ελληνικά Привет мир българия שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดี ខ្មែរ 你好 世界 "
    "こんにちは カタカナ 한국어 ṩ ﬁ ǅ İstanbul Việt"
).split(" ")
CODE = [
    "fn main() {\n    println!(\"{}\", x);\n}\n", "def f(a, b=None):\n\treturn a[0] + b\n", "<div class=\"a\">&nbsp;</div>",
    "for(i=0;i<10;++i){a[i]*=2;}", "SELECT * FROM t WHERE id != 3;", "https://example.org/?q=1&r=%20#top", "$HOME/.config/x.toml",
    "\\alpha^{2}_{n+1}", "0xDEADbeef", "a->b::c<T>", "// ---- TODO ----", "x = y if z else w",
]
EMOJI = ["😀", "🦙", "👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇧🇬", "✅", "😶‍🌫️", "1️⃣", "☺", "☺️"]
MARKS = ["\u0301", "\u0308", "\u0323", "\u20dd", "\u200d", "\u200b", "\u2060", "\ufe0f", "\u0640", "\u0303\u0323"]
EDGES = ["\0", "\x01", "\x1b[0m", "\x7f", "\x85", "\xa0", "\xad", "\u2028", "\u2029", "\u3000", "\ufeff", "\ufffd", "\uffff", "\ufdd0",
         "\ue000", "\ud7ff", "\U0001ffff", "\U000e0041", "\U000f0000", "\U0010ffff", "ſ", "\u212a", "½", "Ⅷ", "٣", "५", "①", "²"]
NUMBERS = ["0", "7", "42", "007", "1,234.56", "1e-5", "3.14159", "2024-12-31", "1234567890" * 2, "1 000 000", "٤٥٦", "½¾"]
BLANKS = [" ", "  ", "   ", " " * 7, " " * 40, "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", " \n", "\n ", " \t ", "\v", "\f", " \u3000 "]
PUNCTUATION = ["!", "?", "...", "'", "''", "\"", "``", "---", "=====", "?!", "،", "。", "¿", "«", "»", "(", ")]}", "$", "~", "^", "|", "<", "<|", "|>"]


def character(rng):
    """Any character but a surrogate."""
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x110000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def text(rng, special):
    parts = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 21]) if rng.randrange(50) else 0):
        kind = rng.randrange(12)
        if kind <= 2:
            parts.append(" " * rng.randrange(2) + rng.choice(WORDS))
        elif kind == 3:
            parts.append(rng.choice(WORDS) + rng.choice(MARKS) * rng.randrange(1, 4))
        elif kind == 4 and special:
            parts.append(rng.choice([rng.choice(special), rng.choice(special)[:-1], " " + rng.choice(special) + " "]))
        elif kind == 5:
            parts.append("".join(character(rng) for _ in range(rng.randrange(1, 6))))
        else:
            parts.append(rng.choice(rng.choice([CODE, EMOJI, EDGES, NUMBERS, BLANKS, PUNCTUATION])))
    return "".join(parts)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tokenizer")
    arguments.add_argument("out")
    arguments.add_argument("--count", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()

    tokenizer = Tokenizer.from_file(options.tokenizer)
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    rng = random.Random(options.seed)
    with open(options.out, "w", encoding="utf-8") as out:
        for _ in range(options.count):
            case = text(rng, special)
            ids = tokenizer.encode(case, add_special_tokens=False).ids
            out.write(json.dumps({"text": case, "ids": ids}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
