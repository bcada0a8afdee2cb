"""Copies of 4-bit weights: the same answers, only if the user agrees, and never half of one."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sqlcoder_magic.errors import Stopped
from sqlcoder_magic.models import (
    FakeModel,
    copies,
    loading,
    open_model,
    opening,
    unload_model,
)
from sqlcoder_magic.models.files import Checkpoint, find_checkpoint
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import Prompt

Make = Callable[[str], Path]
SETTINGS = {"load_in_4bit": True, "dtype": "torch.float32"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the copies, empty for each test."""
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "4bit"


def load(name: Path | str, *, keep: bool = False) -> LocalModel:
    """Load anew, in 4 bits."""
    unload_model()
    model = open_model(str(name), quantization="4bit", keep_4bit_copy=keep)
    assert isinstance(model, LocalModel)
    return model


def written(model: LocalModel) -> str:
    return model.generate(Prompt("SELECT a", (), 0, ()), max_new_tokens=16, timeout_s=60).text


def scores(model: LocalModel) -> Any:
    """What every next token weighs after some text: any other weights would show in it."""
    import torch

    ids = torch.tensor([model._tokens.encode("SELECT count(*) FROM sales").ids])
    with torch.inference_mode():
        return model._network(ids).logits.clone()


def kept_in(cache: Path) -> list[Path]:
    """What lies in the cache besides locks."""
    if not cache.exists():
        return []
    return [path for path in cache.iterdir() if not path.name.endswith(".lock")]


@pytest.fixture
def one_kept(checkpoint: Make, tmp_path: Path, cache: Path) -> tuple[Path, Path]:
    """A checkpoint of its own, and its copy."""
    directory = shutil.copytree(checkpoint("llama"), tmp_path / "original")
    load(directory, keep=True)
    unload_model()
    (copy,) = kept_in(cache)
    return directory, copy


# ---------------------------------------------------------------- the same, and only if agreed


@pytest.mark.parametrize("architecture", ["gpt_bigcode", "llama", "mistral"])
def test_the_copy_answers_like_the_original(
    architecture: str, checkpoint: Make, cache: Path
) -> None:
    import torch

    name = checkpoint(architecture)
    model = load(name)
    expected, text = scores(model), written(model)
    model = load(name, keep=True)
    (copy,) = kept_in(cache)
    assert f"The next load takes the 4-bit copy in {copy} (" in model.spec.reason
    assert copy.name.startswith(name.name)
    assert torch.equal(scores(model), expected)
    model = load(name)
    assert f"Loaded from the 4-bit copy in {copy} (" in model.spec.reason
    assert " MB; to remove it, delete this directory)" in model.spec.reason
    assert torch.equal(scores(model), expected)
    assert written(model) == text
    assert model.spec.quantization == "4bit"


def test_the_bundled_model_can_be_kept_too(cache: Path) -> None:
    text = written(load("sqlcoder-tiny", keep=True))
    model = load("sqlcoder-tiny")
    assert "Loaded from the 4-bit copy" in model.spec.reason
    assert written(model) == text


def test_nothing_is_written_unless_the_user_agrees(checkpoint: Make, cache: Path) -> None:
    model = load(checkpoint("llama"))
    assert kept_in(cache) == []
    size = copies._gb(copies._need(model._network))
    assert f"with --keep-4bit-copy, {size} in {cache} would save that" in model.spec.reason


def test_other_precisions_need_no_copy(checkpoint: Make, cache: Path) -> None:
    model = open_model(str(checkpoint("llama")), quantization="fp32", keep_4bit_copy=True)
    assert kept_in(cache) == []
    assert "copy" not in model.spec.reason


def test_a_model_that_is_loaded_is_kept_when_it_is_asked_for(checkpoint: Make, cache: Path) -> None:
    name = str(checkpoint("llama"))
    first = load(name)
    assert open_model(name, quantization="4bit") is first
    second = open_model(name, keep_4bit_copy=True, quantization="4bit")
    assert second is not first and len(kept_in(cache)) == 1
    assert open_model(name, keep_4bit_copy=True) is second  # once is enough
    assert open_model(name) is second


def test_a_checkpoint_that_is_quantized_already_is_not_copied(
    one_kept: tuple[Path, Path], tmp_path: Path, cache: Path
) -> None:
    directory, copy = one_kept
    quantized = shutil.copytree(copy, tmp_path / "quantized")
    shutil.copy(directory / "tokenizer.json", quantized)
    model = load(quantized, keep=True)
    assert kept_in(cache) == [copy]
    assert "copy" not in model.spec.reason


def test_another_setting_is_another_copy(checkpoint: Make) -> None:
    found = find_checkpoint(str(checkpoint("llama")))
    places = [
        copies.place_of(found, settings) for settings in (SETTINGS, SETTINGS | {"dtype": "bf16"})
    ]
    assert places[0] is not None and places[1] is not None
    assert places[0].directory != places[1].directory


def test_a_copy_of_the_hubs_is_called_as_on_the_hub(tmp_path: Path) -> None:
    directory = tmp_path / "models--defog--sqlcoder-7b-2" / "snapshots" / "0a1b2c"
    place = copies.place_of(Checkpoint(directory, [], {}, bundled=False), SETTINGS)
    assert place is not None
    assert place.directory.name.startswith("models--defog--sqlcoder-7b-2-")


# ---------------------------------------------------------------- copies that cannot be used


def cut(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def flip(copy: Path) -> None:
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    weights.write_bytes(content)


def rewrite(copy: Path, **values: object) -> None:
    manifest = copy / "copy.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | values))


def relist(copy: Path) -> None:
    files = sorted(file for file in copy.iterdir() if file.name != "copy.json")
    rewrite(copy, files=copies._listed(files))


def hide_damage(copy: Path) -> None:
    """Weights that no manifest can show to be bad."""
    weights = copy / "model.safetensors"
    weights.write_bytes(b"\xff" * weights.stat().st_size)
    relist(copy)


def lose_a_weight(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = copy / "model.safetensors"
    state = load_file(weights)
    del state["model.norm.weight"]
    save_file(state, weights, {"format": "pt"})
    relist(copy)


def of_another(copy: Path) -> None:
    made_of = json.loads((copy / "copy.json").read_text())["made_of"]
    rewrite(copy, made_of=made_of | {"source": "/elsewhere"})


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (cut, "its files were changed or cut"),
    (flip, "its files were changed or cut"),
    (lambda copy: (copy / "model.safetensors").unlink(), "its files were changed or cut"),
    (lambda copy: (copy / "adapter_config.json").write_text("{}"), "its files were changed"),
    (lambda copy: (copy / "copy.json").unlink(), "it is not complete"),
    (lambda copy: (copy / "copy.json").write_text("{"), "its copy.json is damaged"),
    (lambda copy: (copy / "copy.json").write_bytes(b"\xff\xfe"), "its copy.json is damaged"),
    (lambda copy: (copy / "copy.json").write_text("[]"), "its copy.json is damaged"),
    (lambda copy: rewrite(copy, files=[1]), "its files were changed"),
    (lambda copy: rewrite(copy, made_of={}), "its copy.json is damaged"),
    (lambda copy: rewrite(copy, format=0), "another version of this package wrote it"),
    (of_another, "it is of another checkpoint"),
    (hide_damage, "header"),
    (lose_a_weight, "its files lack 1 of the weights, model.norm.weight for one"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_copy_that_cannot_be_used_is_removed_and_the_original_loaded(
    damage: Callable[[Path], object], reason: str, one_kept: tuple[Path, Path], cache: Path
) -> None:
    directory, copy = one_kept
    damage(copy)
    model = load(directory)
    assert f"The 4-bit copy in {copy} was removed: " in model.spec.reason
    assert reason in model.spec.reason and "; the original was loaded." in model.spec.reason
    assert kept_in(cache) == []
    assert written(model)


def test_a_damaged_copy_is_replaced_if_the_user_still_agrees(one_kept: tuple[Path, Path]) -> None:
    directory, copy = one_kept
    cut(copy)
    assert "was removed" in load(directory, keep=True).spec.reason
    assert f"Loaded from the 4-bit copy in {copy}" in load(directory).spec.reason


def test_a_copy_that_cannot_be_read_is_left_alone(one_kept: tuple[Path, Path]) -> None:
    directory, copy = one_kept
    (copy / "copy.json").unlink()
    (copy / "copy.json").mkdir()
    model = load(directory)
    assert f"The 4-bit copy in {copy} cannot be read (Is a directory)" in model.spec.reason
    assert written(model)


def test_a_copy_that_cannot_be_removed_is_said(
    one_kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, copy = one_kept
    cut(copy)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    model = load(directory)
    assert "nor removed (Permission denied): delete it" in model.spec.reason
    assert copy.exists() and written(model)


def new_weights(directory: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = directory / "model.safetensors"
    state = load_file(weights)
    changed = {name: torch.flip(tensor, (0,)).contiguous() for name, tensor in state.items()}
    save_file(changed, weights, {"format": "pt"})


def new_config(directory: Path) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))


@pytest.mark.parametrize("change", [new_weights, new_config])
def test_a_checkpoint_that_changed_is_quantized_anew(
    change: Callable[[Path], None], one_kept: tuple[Path, Path], cache: Path
) -> None:
    import torch

    directory, copy = one_kept
    before = scores(load(directory))
    change(directory)
    model = load(directory)
    assert f"{copy} was removed: the checkpoint has changed since" in model.spec.reason
    assert kept_in(cache) == []
    assert not torch.equal(scores(model), before)


# ---------------------------------------------------------------- copies that cannot be written


@contextmanager
def files_no_larger_than(count: int) -> Iterator[None]:
    """The system refuses to write more, in the middle of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_nothing_behind(checkpoint: Make, cache: Path) -> None:
    with files_no_larger_than(2**20):
        model = load(checkpoint("llama"), keep=True)
    assert f"No 4-bit copy was kept in {cache}: " in model.spec.reason
    assert "File too large" in model.spec.reason
    assert kept_in(cache) == []
    assert written(model)


def test_too_small_a_disk_is_not_written_to(
    checkpoint: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200 * 2**20))
    model = load(checkpoint("llama"), keep=True)
    size = copies._gb(copies._need(model._network))
    said = f"No 4-bit copy was kept: it needs {size} in {cache}, and 0.2 GB are free."
    assert said in model.spec.reason
    assert kept_in(cache) == []


def test_a_cache_that_cannot_be_written(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(tmp_path / "file" / "cache"))
    model = load(checkpoint("llama"), keep=True)
    assert "No 4-bit copy was kept in " in model.spec.reason
    assert "Not a directory" in model.spec.reason
    assert written(model)


def test_no_permission_is_a_sentence(
    checkpoint: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    model = load(checkpoint("llama"), keep=True)
    assert f"No 4-bit copy was kept in {cache}: Permission denied." in model.spec.reason
    assert written(model)


def test_no_home_directory_means_no_copy(checkpoint: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(copies, "cache_directory", homeless)
    assert "copy" not in load(checkpoint("llama"), keep=True).spec.reason


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_while_another_kernel_writes_this_one_does_not(checkpoint: Make, cache: Path) -> None:
    name = checkpoint("llama")
    load(name, keep=True)
    (copy,) = kept_in(cache)
    shutil.rmtree(copy)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache / f".{copy.name}.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        model = load(name, keep=True)
        other.communicate()
    assert "another one is writing it" in model.spec.reason
    assert kept_in(cache) == []
    assert "The next load takes" in load(name, keep=True).spec.reason


def test_kernels_that_write_at_once_make_one_whole_copy(checkpoint: Make, cache: Path) -> None:
    name = checkpoint("llama")
    found = find_checkpoint(str(name))
    place = copies.place_of(found, SETTINGS)
    assert place is not None
    network = load(name)._network
    start, said = threading.Barrier(4), []

    def work() -> None:
        start.wait()
        said.append(copies.keep(place, network))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrote = [text for text in said if text.startswith("The next load takes")]
    assert wrote and len(said) == 4
    assert all("another one is writing it" in text for text in said if text not in wrote)
    assert kept_in(cache) == [place.directory]
    assert copies.check(place) == (True, "")


def test_what_a_killed_kernel_left_is_removed_by_the_next_write(
    checkpoint: Make, cache: Path
) -> None:
    name = checkpoint("llama")
    load(name, keep=True)
    (copy,) = kept_in(cache)
    left, other = cache / f".{copy.name}-x.tmp", cache / ".another-0123-x.tmp"
    copy.rename(left)  # killed before it was renamed
    other.mkdir()
    model = load(name)
    assert "quantized anew" in model.spec.reason  # half a copy is no copy
    load(name, keep=True)
    assert sorted(kept_in(cache)) == sorted([copy, other])


def test_the_copy_is_its_owners_alone(one_kept: tuple[Path, Path]) -> None:
    _, copy = one_kept
    assert copy.stat().st_mode & 0o077 == 0
    assert copy.parent.stat().st_mode & 0o077 == 0


def test_a_load_that_was_left_writes_no_copy(
    checkpoint: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = loading._Job(str(checkpoint("llama")), "4bit", keep_copy=True)
    quantize = opening._open

    def interrupted(*arguments: Any) -> Any:
        opened = quantize(*arguments)
        job.cancelled.set()
        return opened

    monkeypatch.setattr(opening, "_open", interrupted)
    with pytest.raises(Stopped, match="Stopped loading"):
        loading._load(job)
    assert kept_in(cache) == []


# ---------------------------------------------------------------- how a user agrees


def test_load_and_status_say_where_the_copy_is(
    checkpoint: Make, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sqlcoder_magic import commands

    shell = SimpleNamespace(user_ns={})
    line = f"load {checkpoint('llama')} 4bit --keep-4bit-copy"
    commands.run(line, shell, Settings())
    (copy,) = kept_in(cache)
    assert f"4-bit copy in {copy} (" in capsys.readouterr().out
    commands.run("status", shell, Settings())
    assert f"4-bit copy in {copy} (" in capsys.readouterr().out


def test_a_question_keeps_a_copy_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlcoder_magic import pipeline

    heard: list[object] = []

    def opened(name: str | None, **options: object) -> FakeModel:
        heard.append(options["keep_4bit_copy"])
        return FakeModel(["SELECT count(*) FROM sales"])

    monkeypatch.setattr(pipeline, "open_model", opened)
    for agreed in (False, True):
        settings = Settings(keep_4bit_copy=agreed, memory=False)
        pipeline.ask("How many sales?", "sample", settings=settings)
    assert heard == [False, True]
