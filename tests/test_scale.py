"""What docs/scale.md tells an administrator: its files parse, and say what the client relies on."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlcoder_magic.models.catalog import find_entry
from sqlcoder_magic.models.server import KEY_VARIABLE
from sqlcoder_magic.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text("utf-8")
# Of `vllm serve`, 0.24 by its documentation and 0.32 by its own help.
FLAGS = {
    "--max-model-len",
    "--gpu-memory-utilization",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--distributed-executor-backend",
    "--no-enable-prefix-caching",
    "--structured-outputs-config",
    "--dtype",
}
OURS = {"--name", "--values", "--constrain", "--effort", "--random", "--tokens", "--rounds"}
OURS |= {"--quantization", "--compile", "--limit", "--notebooks"}
OURS |= {"--model-id", "--alias"}  # of TGI's launcher and of llama-server


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    (text,) = blocks("yaml")
    return dict(yaml.safe_load(text))


def test_the_compose_file_is_one(compose: dict[str, Any]) -> None:
    assert set(compose) == {"services", "volumes"}
    (service,) = compose["services"].values()
    assert set(service) <= {
        *("image", "command", "environment", "volumes", "ports", "ipc", "restart"),
        *("healthcheck", "deploy"),
    }
    mounted = [volume.split(":") for volume in service["volumes"]]
    assert {name for name, _ in mounted} == set(compose["volumes"])
    assert all(place.startswith("/root/.cache/") for _, place in mounted)
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert service["healthcheck"]["test"][0] == "CMD"
    ast.parse(service["healthcheck"]["test"][-1])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])  # not to the world


def test_it_serves_a_model_of_the_catalog_with_flags_that_there_are(
    compose: dict[str, Any],
) -> None:
    (service,) = compose["services"].values()
    model, *flags = service["command"]
    entry = find_entry(model)
    assert entry is not None and entry.repo == model
    given = dict(flag.split("=") for flag in flags)
    assert set(given) <= FLAGS
    assert int(given["--max-model-len"]) <= entry.context
    assert KEY_VARIABLE in service["environment"]["VLLM_API_KEY"]
    assert not any("key" in flag for flag in flags)  # `ps` shows arguments
    assert set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", PAGE)) <= FLAGS | OURS


def test_the_configuration_names_settings_that_there_are() -> None:
    code = "\n".join(blocks("python"))
    ast.parse(code)
    for name, value in re.findall(r"c\.NL2SQL\.(\w+) = (.*?)(?:  #.*)?$", code, re.M):
        assert isinstance(ast.literal_eval(value), type(getattr(Settings(), name)))
    assert KEY_VARIABLE in code
