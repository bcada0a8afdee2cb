"""Copies of quantized weights, kept on disk if the user agreed, so that they are quantized once.

One directory a checkpoint and setting, in this package's cache directory: an ordinary bitsandbytes
checkpoint and `copy.json`, which says what it was made of and which files it has. It is written
under another name and renamed when it is whole and on the disk; a lock lets one kernel write. What
does not fit its `copy.json` any more is removed, and the original is loaded. Deleting the directory
is all it takes to be without. Not covered: bits that rot under an unchanged file time; the original
has no guard against those either.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlcoder_magic.models.files import Checkpoint
from sqlcoder_magic.models.fit import GIB
from sqlcoder_magic.sample.build import cache_directory

_FORMAT = 1  # raised whenever a copy of an earlier version would be misread
_MANIFEST = "copy.json"
# The files hold a little more than the weights in memory: 0.13 bits a weight of scales, names.
_ON_DISK = 1.06
_ROOM = GIB // 4  # left free for others


class _Unusable(Exception):
    """Why a copy cannot be used: the middle of a sentence."""


@dataclass(frozen=True)
class Place:
    """Where the copy of one checkpoint in one setting lies, or would lie.

    `made_of` is what must not have changed since: the checkpoint's files and config, and the
    quantization.
    """

    directory: Path
    made_of: dict[str, Any]

    @property
    def words(self) -> str:
        """The directory, its size and how to be rid of it."""
        size = sum(file.stat().st_size for file in self.directory.iterdir())
        return f"{self.directory} ({_gb(size)}; to remove it, delete this directory)"


def place_of(checkpoint: Checkpoint, quantization: dict[str, Any]) -> Place | None:
    """The place for the copy; None where there is no home directory, or no need of a copy."""
    if "quantization_config" in checkpoint.config:
        return None  # it is quantized already
    source = checkpoint.directory.resolve()
    made_of = {
        "source": str(source),
        "config": checkpoint.config,
        "files": _listed(checkpoint.weights),
        "quantization": quantization,
    }
    key = json.dumps([str(source), quantization], sort_keys=True)
    # In the hub's cache: models--owner--name/snapshots/<a hash>.
    named = source.parent.parent if source.parent.name == "snapshots" else source
    label = re.sub(r"[^\w.-]", "_", named.name)[:60]
    name = f"{label}-{sha256(key.encode('utf-8', 'replace')).hexdigest()[:16]}"
    try:
        return Place(cache_directory() / "4bit" / name, made_of)
    except RuntimeError:  # no home directory
        return None


def check(place: Place) -> tuple[bool, str]:
    """(whether the copy is there and whole, a note). One that cannot be used is removed."""
    try:
        _require_whole(place)
    except FileNotFoundError:
        if not place.directory.exists():
            return False, ""
        return False, drop(place, "it is not complete")
    except _Unusable as reason:
        return False, drop(place, str(reason))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False, drop(place, f"its {_MANIFEST} is damaged")
    except OSError as error:
        return False, (
            f"The 4-bit copy in {place.directory} cannot be read ({error.strerror}); "
            "the original was loaded."
        )
    return True, ""


def _require_whole(place: Place) -> None:
    """Raise _Unusable, or what reading raises, unless the copy is whole and of this checkpoint."""
    kept = json.loads((place.directory / _MANIFEST).read_bytes())
    if kept["format"] != _FORMAT:
        raise _Unusable("another version of this package wrote it")
    made_of = kept["made_of"]
    if made_of != json.loads(json.dumps(place.made_of)):
        if made_of["source"] != place.made_of["source"]:
            raise _Unusable("it is of another checkpoint")
        raise _Unusable("the checkpoint has changed since")
    there = sorted(file for file in place.directory.iterdir() if file.name != _MANIFEST)
    if _listed(there) != kept["files"]:  # nor may there be more: libraries read what they find
        raise _Unusable("its files were changed or cut")


def drop(place: Place, reason: str) -> str:
    """Remove the copy; the sentence about it. `reason` is a clause."""
    doomed = place.directory.with_name(f".{place.directory.name}-{os.getpid()}.tmp")
    try:
        place.directory.rename(doomed)  # at once for every other kernel, which then sees none
        shutil.rmtree(doomed)
    except FileNotFoundError:
        pass  # another kernel was quicker
    except OSError as error:
        return (
            f"The 4-bit copy in {place.directory} cannot be used ({reason}) nor removed "
            f"({error.strerror}): delete it; the original was loaded."
        )
    return f"The 4-bit copy in {place.directory} was removed: {reason}; the original was loaded."


def offer(place: Place, network: Any) -> str:
    """What keeping a copy would take: the sentence for a user who has not agreed to it."""
    return (
        f"It is quantized anew at each load; with --keep-4bit-copy, {_gb(_need(network))} in "
        f"{place.directory.parent} would save that."
    )


def keep(place: Place, network: Any) -> str:
    """Write a copy of `network`, wholly or not at all; the sentence about what came of it.

    Nothing that goes wrong here is an error: the network is loaded, and works without a copy.
    """
    from filelock import FileLock, Timeout
    from safetensors import SafetensorError

    home = place.directory.parent
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(home / f".{place.directory.name}.lock", timeout=0):
            if not check(place)[0]:  # unless another kernel has just written it
                _require_room(network, home)
                _write(place, network)
        return f"The next load takes the 4-bit copy in {place.words}."
    except Timeout:
        return "No 4-bit copy was kept by this kernel: another one is writing it."
    except _Unusable as reason:
        return f"No 4-bit copy was kept: {reason}."
    except (OSError, SafetensorError, NotImplementedError) as error:  # the last: no locks there
        told = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        return f"No 4-bit copy was kept in {home}: {told}."


def _require_room(network: Any, home: Path) -> None:
    need, free = _need(network), shutil.disk_usage(home).free
    if need + _ROOM > free:
        raise _Unusable(f"it needs {_gb(need)} in {home}, and {_gb(free)} are free")


def _write(place: Place, network: Any) -> None:
    """Call it with the lock held."""
    home, name = place.directory.parent, place.directory.name
    for left in home.iterdir():  # by a kernel that was killed while it wrote
        if left.name.startswith(f".{name}-") and left.name.endswith(".tmp"):
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".tmp", dir=home))
    try:
        network.save_pretrained(temporary, max_shard_size="1GB")
        files = sorted(temporary.iterdir())
        for file in files:
            _to_disk(file)
        kept = {"format": _FORMAT, "made_of": place.made_of, "files": _listed(files)}
        (temporary / _MANIFEST).write_text(json.dumps(kept, indent=1), "utf-8")
        _to_disk(temporary / _MANIFEST)
        temporary.rename(place.directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _to_disk(file: Path) -> None:
    """Wait until the file is on the disk: a copy must outlive a power cut whole, or not at all."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _listed(files: list[Path]) -> list[list[Any]]:
    """[name, bytes, time of the last change] of each file."""
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _need(network: Any) -> int:
    return int(network.get_memory_footprint() * _ON_DISK)


def _gb(count: int) -> str:
    return f"{count / GIB:.1f} GB" if count >= GIB / 10 else f"{count / 2**20:.1f} MB"
