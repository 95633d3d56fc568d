"""Writes data/split_classes.json and data/random_cases.json: what the reference tokenizer makes of all characters, and of
random texts.

    python3 make_reference_cases.py        needs: tokenizers (0.23.3 made the files)

split_classes.json: the code points at which the class changes, [first, class], classes as the reference's regular
expressions see them: L \\p{L}, N \\p{N}, S \\s, O others. random_cases.json: texts with the demo voice's ids, specials as
text and recognised, and the decoded text.
"""
import json
import random
import unicodedata
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Split

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "voices/demo/lm/tokenizer.json"
CASES = 400
WORDS = ("hello world Don't I'LL we've it'S '\u017f 3.14 1234567 na\u00efve caf\u00e9 Stra\u00dfe \u65e5\u672c\u8a9e "
         "\ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0e44\u0e17\u0e22 "
         "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1 \u212a \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 <laugh> "
         "<|eot_id|> <custom_token_2> <custom_token_12> <|begin_of_text|> <custom_token_ \u180e \u200b e\u0301 !!! ?! ... -- "
         "\u2026 \u201cquoted\u201d (par) http://x.y/z?q=1&r=2 \x00 \x7f tttttttttt").split(" ")
BLANKS = " \n\r\t\u00a0\u3000\u0085\x0b\x0c\x1c\x1d\x1e\x1f\u2028\u2029\u180e"


def split_classes():
    def matcher(pattern):
        removed = Split(Regex(pattern), "removed")
        return lambda character: not removed.pre_tokenize_str(character)

    letter, number, space = matcher(r"\p{L}"), matcher(r"\p{N}"), matcher(r"\s")
    changes = []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        kind = "L" if letter(character) else "N" if number(character) else "S" if space(character) else "O"
        if not changes or changes[-1][1] != kind:
            changes.append([code, kind])
    return changes


def assigned_character(rng):
    while True:
        character = chr(rng.randrange(rng.choice([0x80, 0x800, 0x10000, 0x110000])))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character


def random_text(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return "".join(rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n", "'"]) for _ in range(rng.randrange(1, 12)))
    if kind == 1:
        return "".join(assigned_character(rng) for _ in range(rng.randrange(1, 30)))
    if kind == 2:
        return "".join(rng.choice("etaoinshrd 'sSlLvVtT1\n\r\t.,!\u00e9") for _ in range(rng.randrange(1, 100)))
    if kind == 3:
        return "".join(rng.choice(BLANKS + " a") for _ in range(rng.randrange(1, 40)))
    return "".join(rng.choice([assigned_character(rng), rng.choice(WORDS), " "]) for _ in range(rng.randrange(1, 20)))


def random_cases():
    rng = random.Random(0)
    special, plain = Tokenizer.from_file(str(DEMO)), Tokenizer.from_file(str(DEMO))
    plain.encode_special_tokens = True
    cases = []
    for _ in range(CASES):
        text = random_text(rng)
        ids = plain.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": special.encode(text, add_special_tokens=False).ids, "ids_specials_as_text": ids,
                      "decoded": plain.decode(ids, skip_special_tokens=False)})
    return cases


def main():
    (HERE / "data").mkdir(exist_ok=True)
    for name, rows in (("split_classes", split_classes()), ("random_cases", random_cases())):
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        (HERE / f"data/{name}.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main()
