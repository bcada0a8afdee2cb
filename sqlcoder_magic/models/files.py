"""From a model's name to the files of its checkpoint, on this disk or from the hub.

Safetensors only: a pickle runs code when it is read. A name downloads only if the user wrote
it; a path never does. Not covered: what the files hold (`fit`, `local`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import ModelLoadError, ModelNotFoundError, NL2SQLError
from sqlcoder_magic.models.catalog import TINY, WEIGHTS, find_entry
from sqlcoder_magic.models.fit import require_some_precision

_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk: its directory, its safetensors files in order, its config.json."""

    directory: Path
    weights: list[Path]
    config: dict[str, Any]
    bundled: bool


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint called `name`: a directory, a catalog name or a hub id."""
    directory = _directory(name)
    config = _read_config(directory)
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        raise _no_weights(directory)
    if not any((directory / f).exists() for f in ("tokenizer.json", "tokenizer.model")):
        raise ModelNotFoundError(
            f"{directory} has weights but no tokenizer (looked for tokenizer.json, "
            "tokenizer.model).",
            fix="Copy the tokenizer's files of the same checkpoint beside the weights.",
        )
    return Checkpoint(directory, weights, config, bundled=directory == WEIGHTS)


def _directory(name: str) -> Path:
    if name in ("", TINY.name):
        return WEIGHTS
    path, is_directory = _as_path(name)
    if is_directory:
        return path
    entry = find_entry(name)
    if entry is not None and name.lower() == entry.name and Path(entry.repo).expanduser().is_dir():
        return Path(entry.repo).expanduser()  # a registered one
    looks_like_path = name.startswith(("/", ".", "~", "\\")) or name.count("/") > 1
    if looks_like_path or path.exists():
        raise ModelNotFoundError(
            f"There is no model directory {path}.",
            fix="A model directory holds config.json, tokenizer.json and *.safetensors files. "
            "Nothing was downloaded.",
        )
    if "/" not in name and entry is None:
        raise ModelNotFoundError(
            f"There is no model called {name!r}.",
            fix="Give a directory, a hub id such as defog/sqlcoder-7b-2, or sqlcoder-tiny "
            "(`%sqlcoder help` lists the family).",
        )
    return _download(entry.repo if entry is not None and "/" not in name else name)


def _as_path(name: str) -> tuple[Path, bool]:
    """(the name as a path, whether a directory is there)."""
    try:
        path = Path(name).expanduser()
        return path, path.is_dir()
    except (OSError, RuntimeError):  # a name too long for a path, a `~user` who is nobody
        raise ModelNotFoundError(
            f"There is no model called {name[:80]!r}, and it cannot be a path.",
            fix="Give a directory, a hub id such as defog/sqlcoder-7b-2, or sqlcoder-tiny.",
        ) from None


def _download(repo: str) -> Path:
    """A hub repository's files, from the hub's cache on this disk or from the hub.

    Its config comes first: what fits in no precision here is not downloaded.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        require_some_precision(_read_config(Path(hf_hub_download(repo, "config.json")).parent))
        return Path(snapshot_download(repo, allow_patterns=_WANTED))
    except NL2SQLError:
        raise
    except GatedRepoError:
        raise ModelNotFoundError(
            f"The hub wants a login for {repo}.",
            fix="Accept its licence on its page, then log in with `hf auth login`.",
        ) from None
    except RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"The hub has no repository {repo}.", fix="Check the spelling: owner/name."
        ) from None
    except Exception as error:  # noqa: BLE001  the hub's client raises a dozen kinds, of four libraries
        raise ModelNotFoundError(
            f"{repo} is not on this disk and could not be downloaded ({type(error).__name__}).",
            fix="Check the network, or give the directory of a copy; sqlcoder-tiny needs neither.",
        ) from None


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise _no_weights(directory) from None
    except ValueError as error:
        raise ModelLoadError(
            f"{path} is not valid JSON: {error}.", fix="Copy or download it again."
        ) from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelLoadError(f"{path} names no model_type.", fix="Copy or download it again.")
    return config


def _no_weights(directory: Path) -> ModelNotFoundError:
    if any(directory.glob("*.bin")) or any(directory.glob("*.pt")):
        return ModelNotFoundError(
            f"{directory} holds pickled weights only, which run code when they are read.",
            fix="Convert them to safetensors, or take a checkpoint that has them.",
        )
    return ModelNotFoundError(
        f"{directory} holds no model (looked for config.json and *.safetensors).",
        fix="Give the directory of a checkpoint; nothing was downloaded.",
    )
