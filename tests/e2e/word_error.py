"""Word error rate of synthesised speech, heard by a recogniser (pocketsphinx, en-us, default settings).

    python3 word_error.py WAV_FOLDER [--sentences sentences.txt] [--json OUT] [--jobs 1]
    python3 word_error.py --self-test

Line n of the sentences is nn.wav (01.wav, 02.wav, ...) of WAV_FOLDER, any format that sox reads. Every file is resampled
to 16 kHz mono and padded with 0.3 s of silence on both ends. A missing or empty file counts as nothing heard.
Needs sox, pocketsphinx_continuous and its en-us model (Debian: sox pocketsphinx pocketsphinx-en-us).
The rate in total is errors of all sentences over words of all sentences.
"""
import argparse
import concurrent.futures
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SILENCE_S = 0.3


def words(text):
    """Lower case, digits and apostrophes kept, other punctuation dropped; the recogniser's "word(2)" is "word"."""
    return re.findall(r"[a-z0-9']+", re.sub(r"\(\d+\)", "", text.lower()))


def word_errors(reference, heard):
    """Fewest substitutions, deletions and insertions that turn one list of words into the other."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        previous, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(previous[j - 1] + (word != other), previous[j] + 1, row[j - 1] + 1))
    return row[-1]


def rate(errors, count):
    return errors / count if count else 0.0


def recognise(wav):
    """-> (heard text, seconds of speech in the file)"""
    if not wav.exists():
        return "", 0.0
    info = subprocess.run(["soxi", "-D", wav], capture_output=True, text=True)
    seconds = float(info.stdout or 0)
    if seconds == 0:
        return "", 0.0
    with tempfile.TemporaryDirectory() as folder:
        padded = Path(folder, "padded.wav")
        # -G and no dither (-D): neither clipping nor noise of the resampler reaches the recogniser.
        subprocess.run(["sox", "-G", "-D", wav, "-r", "16000", "-c", "1", "-b", "16", padded, "pad", str(SILENCE_S), str(SILENCE_S)],
                       check=True, capture_output=True)
        heard = subprocess.run(["pocketsphinx_continuous", "-infile", padded, "-logfn", "/dev/null"],
                               check=True, capture_output=True, text=True)
    return " ".join(heard.stdout.split()), seconds


def assess(sentences, folder, jobs):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        heard = list(pool.map(recognise, [Path(folder, f"{n:02}.wav") for n in range(1, len(sentences) + 1)]))
    rows = []
    for n, (sentence, (text, seconds)) in enumerate(zip(sentences, heard), 1):
        reference = words(sentence)
        errors = word_errors(reference, words(text))
        rows.append({"n": n, "sentence": sentence, "heard": text, "seconds": round(seconds, 3), "errors": errors,
                     "words": len(reference), "rate": round(rate(errors, len(reference)), 4)})
    errors, count = sum(r["errors"] for r in rows), sum(r["words"] for r in rows)
    return {"word_error_rate": round(rate(errors, count), 4), "errors": errors, "words": count, "sentences": rows}


class WordErrorTest(unittest.TestCase):
    def test_counts_substitution_deletion_and_insertion(self):
        self.assertEqual(word_errors("a b c".split(), "a b c".split()), 0)
        self.assertEqual(word_errors("a b c".split(), "a x c".split()), 1)
        self.assertEqual(word_errors("a b c".split(), "a c".split()), 1)
        self.assertEqual(word_errors("a b c".split(), "a b b c".split()), 1)
        self.assertEqual(word_errors("a b c d".split(), "b c d e".split()), 2)

    def test_takes_the_cheapest_alignment(self):
        self.assertEqual(word_errors("the cat sat on the mat".split(), "cat sat in the hat mat".split()), 3)

    def test_nothing_heard_and_nothing_said(self):
        self.assertEqual(word_errors("a b".split(), []), 2)
        self.assertEqual(word_errors([], "a b".split()), 2)
        self.assertEqual(rate(0, 0), 0.0)

    def test_rate_may_exceed_one(self):
        self.assertEqual(rate(word_errors(["a"], "x y z".split()), 1), 3.0)

    def test_order_matters(self):
        self.assertEqual(word_errors("a b".split(), "b a".split()), 2)

    def test_words_ignore_case_punctuation_and_pronunciation_marks(self):
        self.assertEqual(words("Don't go, at 5!"), ["don't", "go", "at", "5"])
        self.assertEqual(words("the(2) tea(3)"), ["the", "tea"])

    def test_missing_file_counts_every_word(self):
        with tempfile.TemporaryDirectory() as folder:
            result = assess(["One two three."], folder, 1)
        self.assertEqual((result["errors"], result["words"], result["word_error_rate"]), (3, 3, 1.0))


def main():
    if "--self-test" in sys.argv:
        unittest.main(argv=sys.argv[:1])
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("folder", type=Path)
    a.add_argument("--sentences", type=Path, default=Path(__file__).with_name("sentences.txt"))
    a.add_argument("--json", type=Path)
    a.add_argument("--jobs", type=int, default=1, help="recognisers at the same time")
    a.add_argument("--self-test", action="store_true", help="test the arithmetic and exit")
    o = a.parse_args()
    sentences = [line.strip() for line in o.sentences.read_text(encoding="utf-8").splitlines() if line.strip()]
    result = assess(sentences, o.folder, o.jobs)
    for r in result["sentences"]:
        print(f"{r['n']:02} {r['errors']:2}/{r['words']:<2} {r['seconds']:5.2f} s  {r['sentence']}  |  {r['heard']}")
    print(f"word error {100 * result['word_error_rate']:.1f} % ({result['errors']} of {result['words']} words)")
    if o.json:
        o.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
