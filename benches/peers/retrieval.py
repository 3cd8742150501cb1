"""bm25s and sentence-transformers on the texts and queries of `cargo bench --bench retrieval`."""

import json
import sys
import time

import bm25s
import numpy
import torch
from sentence_transformers import SentenceTransformer

EMBEDDED = 256


def percentiles(name, run, queries):
    times = []
    for query in queries:
        started = time.perf_counter()
        run(query)
        times.append((time.perf_counter() - started) * 1e3)
    p50, p99 = numpy.percentile(times, [50, 99])
    print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    texts, queries = data["texts"], data["queries"]
    torch.set_num_threads(2)

    started = time.perf_counter()
    retriever = bm25s.BM25()
    retriever.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    print(f"bm25s: indexed in {time.perf_counter() - started:.1f} s")

    def lexical(query):
        tokens = bm25s.tokenize(query, show_progress=False)
        return retriever.retrieve(tokens, k=50, show_progress=False)

    lexical(queries[0])
    percentiles("bm25s, one query", lexical, queries)

    model = SentenceTransformer(sys.argv[2], device="cpu")
    model.encode(texts[:32])
    started = time.perf_counter()
    vectors = model.encode(texts[:EMBEDDED], batch_size=32)
    rate = EMBEDDED / (time.perf_counter() - started)
    print(f"sentence-transformers: {rate:.1f} passages a second")
    percentiles("sentence-transformers, one query", lambda query: model.encode([query]), queries)

    rows = numpy.tile(vectors, (len(texts) // EMBEDDED + 1, 1))[: len(texts)].astype(numpy.float32)
    vector = vectors[0].astype(numpy.float32)

    def dense(_):
        scores = rows @ vector
        best = numpy.argpartition(-scores, 50)[:50]
        return best[numpy.argsort(-scores[best])]

    percentiles("numpy, f32, one query, vector given", dense, queries)


main()
