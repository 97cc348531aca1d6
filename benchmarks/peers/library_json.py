# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json texts that the Hugging Face tokenizers library can open."""
import json
import pathlib


def repaired(text):
    """Old files spell a merge of tokens that hold spaces as one string, which the library refuses as
    ambiguous. Such merges become pairs, cut where all three tokens exist."""
    spec = json.loads(text)
    model = spec["model"]
    merges = model.get("merges") or []
    if not any(isinstance(m, str) and m.count(" ") != 1 for m in merges):
        return text
    pairs = []
    for merge in merges:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        cuts = [(" ".join(parts[:i]), " ".join(parts[i:])) for i in range(1, len(parts))]
        vocabulary = model["vocab"]
        pairs.append(next([a, b] for a, b in cuts
                          if a in vocabulary and b in vocabulary and a + b in vocabulary))
    model["merges"] = pairs
    return json.dumps(spec)


def library_json(path):
    """The text of a tokenizer.json for a file or a folder; made from the older files (vocab.json with
    merges.txt, or a BERT vocab.txt) where there is none. None when there is nothing to read."""
    import tokenizers

    path = pathlib.Path(path)
    if path.is_file() and path.suffix == ".json":
        return repaired(path.read_text("utf-8"))
    if (path / "tokenizer.json").is_file():
        return repaired((path / "tokenizer.json").read_text("utf-8"))
    bert = sorted(path.glob("*vocab.txt")) if path.is_dir() else [path]
    if bert:
        uncased = "uncased" in bert[-1].name
        return tokenizers.BertWordPieceTokenizer(str(bert[-1]), lowercase=uncased).to_str()
    merges = sorted(path.glob("*merges.txt"))
    vocabularies = [p for p in sorted(path.glob("*vocab*")) if p not in merges and p.suffix != ".bpe"]
    if not merges or not vocabularies:
        return None
    return tokenizers.ByteLevelBPETokenizer(str(vocabularies[0]), str(merges[0])).to_str()
