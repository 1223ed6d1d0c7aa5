#!/usr/bin/env python3
"""Cut a small byte-level BPE tokenizer out of the published one.

Reads tokenizer.json, tokenizer_config.json and chat_template.json of a published checkpoint and
writes small versions of them: by default to tools/data/, where make_checkpoint.py picks them up;
those of the demo checkpoint were made with --merges 3818 --out tools/demo/data --prefix "". The
small vocabulary keeps the 256 byte tokens and the first merges by rank (every merge only needs tokens
of lower rank, so the cut is closed); the added tokens follow with new ids. Normaliser, regular
expression, decoder and templates stay as they are.

    cut_tokenizer.py --data FOLDER [--merges 800] [--out tools/data] [--prefix tiny_]
"""

import argparse
import json
from pathlib import Path


def cut_model(model, merge_count):
    """The BPE model with only the byte tokens and the first `merge_count` merges."""
    merges = [m.split(" ") if isinstance(m, str) else list(m) for m in model["merges"]]
    merges = merges[:merge_count]
    by_id = {index: token for token, index in model["vocab"].items()}
    vocab = {by_id[index]: index for index in range(256)}
    for left, right in merges:
        if left not in vocab or right not in vocab:
            raise SystemExit(f"cut_tokenizer: merge '{left} {right}' needs a token outside the cut")
        vocab.setdefault(left + right, len(vocab))
    return dict(model, vocab=vocab, merges=[" ".join(pair) for pair in merges])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--merges", type=int, default=800, help="how many merges to keep")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--prefix", default="tiny_", help="how the tokenizer's file names begin")
    arguments = parser.parse_args()

    tokenizer = json.loads((arguments.data / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"] = cut_model(tokenizer["model"], arguments.merges)
    first_added = len(tokenizer["model"]["vocab"])
    for offset, token in enumerate(tokenizer["added_tokens"]):
        token["id"] = first_added + offset

    config = json.loads((arguments.data / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"}
        for token in tokenizer["added_tokens"]
    }
    template = json.loads((arguments.data / "chat_template.json").read_text(encoding="utf-8"))

    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content, indent in (
        (f"{arguments.prefix}tokenizer.json", tokenizer, None),
        (f"{arguments.prefix}tokenizer_config.json", config, 2),
        ("chat_template.json", template, 2),
    ):
        text = json.dumps(content, ensure_ascii=False, indent=indent)
        (arguments.out / name).write_text(text + "\n", encoding="utf-8")
    print(f"{first_added} tokens of the vocabulary + {len(tokenizer['added_tokens'])} added tokens")


if __name__ == "__main__":
    main()
