#!/usr/bin/env python3
"""Makes metrics.jsonl: 500 pairs of texts with what rouge_score, NLTK and sacrebleu say of them.

    python3 -m venv venv && venv/bin/pip install rouge_score==0.1.2 nltk==3.10.4 sacrebleu==2.6.0
    venv/bin/python tests/reference/metrics.py > tests/reference/metrics.jsonl

The texts are made here, of words with every suffix that the stemmer knows, and of odd spacing,
punctuation, numbers and other scripts. METEOR is computed without synonyms, on words as
`metrics::words` finds them: the words are joined by single spaces in `words`.
"""

import json
import random
import re

from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF

STEMS = (
    "act relat condit valu digit conform radic differ analog vietnam predic oper feud decis hope call"
    " form electr good reviv allow infer airlin gyroscop adjust defens irrit replac depend adopt homolog"
    " commun activ effect bowdler rate control roll sky tr fl d l t agr pl mot s hop tan fall hiss fizz fil"
    " geo theo philo happ cr b w x y ox hand writ read kettle gard"
).split()
SUFFIXES = (
    "  s es ies ss sses ed ing eed ied y ational tional enci anci izer bli alli entli eli ousli ization"
    " ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical"
    " ful ness al ance ence er ic able ible ant ement ment ent sion tion ou ism ate iti ous ive ize e ll"
    " ying ily ings edly logy logical"
).split(" ")
PLAIN = (
    "the a of and to is it was I you not dying lying tying skies news innings outing canning howe"
    " proceed exceed succeed 42 3.14 2nd don't it's Zwölf Äpfel naïve привет мир 猫 e-mail U.S. x"
).split()
MARKS = [". ", ", ", "! ", "? ", "; ", " – ", "\n\n", "  ", " … ", ": "]


class NoSynonyms:
    def synsets(self, word):
        return []


def word(random):
    if random.random() < 0.5:
        return random.choice(PLAIN)
    made = random.choice(STEMS) + random.choice(SUFFIXES)
    return random.choice([made, made, made.capitalize(), made.upper()])


def text(random, length):
    made = ""
    for _ in range(length):
        made += word(random) + (random.choice(MARKS) if random.random() < 0.15 else " ")
    return made.strip()


def changed(random, text):
    """A text that shares much with another, in another order here and there."""
    pieces = text.split(" ")
    for _ in range(random.randrange(1, 3 + len(pieces) // 2)):
        at = random.randrange(len(pieces))
        what = random.randrange(4)
        if what == 0:
            pieces[at] = word(random)
        elif what == 1:
            pieces.insert(at, word(random))
        elif what == 2 and len(pieces) > 1:
            pieces.pop(at)
        else:
            other = random.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
    return " ".join(pieces)


def words(text):
    """What is a word for METEOR: here, runs of letters and digits, so that all libraries agree."""
    return re.findall(r"[^\W_]+", text.lower())


def main():
    rng = random.Random(2004)
    scorers = {
        stemmed: rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmed)
        for stemmed in (False, True)
    }
    chrf = CHRF()
    for number in range(500):
        reference = text(rng, rng.choice([0, 1, 2, 5, 12, 30]) if number % 7 == 0 else rng.randrange(4, 40))
        hypothesis = changed(rng, reference) if rng.random() < 0.7 else text(rng, rng.randrange(0, 30))
        row = {"text": hypothesis, "reference": reference}
        for stemmed, scorer in scorers.items():
            scores = scorer.score(reference, hypothesis)
            row["rouge_stemmed" if stemmed else "rouge"] = [
                [round(part, 9) for part in scores[name]] for name in ("rouge1", "rouge2", "rougeL")
            ]
        row["words"] = [" ".join(words(hypothesis)), " ".join(words(reference))]
        row["meteor"] = round(
            single_meteor_score(
                words(reference), words(hypothesis), stemmer=PorterStemmer(), wordnet=NoSynonyms()
            ),
            9,
        )
        row["chrf"] = round(chrf.sentence_score(hypothesis, [reference]).score / 100, 9)
        print(json.dumps(row, ensure_ascii=False))


main()
