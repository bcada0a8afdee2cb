"""A chat model's prompt: the entry's message inside the checkpoint's own chat template.

The template is rendered once, with the slots still empty, and its special tokens are noted; what
fills the slots later (`prompt.build_prompt`) never passes through it, so that no name, comment or
question can become a special token or a turn of its own. Not covered: tools, thinking modes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlcoder_magic.errors import ModelLoadError
from sqlcoder_magic.models.catalog import Entry
from sqlcoder_magic.types import Template


def has_chat_template(directory: Path) -> bool:
    """True if the checkpoint in `directory` brings a chat template."""
    if (directory / "chat_template.jinja").exists():
        return True
    try:
        config = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and bool(config.get("chat_template"))


def template_of(entry: Entry, directory: Path) -> Template:
    """The template to ask by: the entry's own, or its message in the checkpoint's chat template.

    Raises ModelLoadError for a chat template that cannot be rendered or loses a slot.
    """
    if not entry.chat or not has_chat_template(directory):
        return entry.template
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        text = _rendered(tokenizer, entry)
    except Exception as error:  # noqa: BLE001  (a template is a program: it fails in its own ways)
        why = " ".join(str(error).split())[:200]
        raise ModelLoadError(
            f"The chat template in {directory} cannot be used: {why}",
            fix="Copy the tokenizer's files again, or register the model with its whole prompt.",
        ) from None
    known = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    # The longest first: one token may begin with another.
    special = tuple(sorted((one for one in known if one in text), key=len, reverse=True))
    return Template(entry.prompt, text + entry.opening, entry.style, special)


def _rendered(tokenizer: Any, entry: Entry) -> str:
    from jinja2.exceptions import TemplateError

    asked = {"role": "user", "content": entry.message}
    turns = [{"role": "system", "content": entry.system}, asked] if entry.system else [asked]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        if not entry.system:
            raise
        # Some know no system turn (Gemma's): it goes before the question then.
        asked["content"] = f"{entry.system}\n\n{entry.message}"
        text = tokenizer.apply_chat_template([asked], tokenize=False, add_generation_prompt=True)
    if "{user_question}" not in text or "{table_metadata_string}" not in text:
        raise ValueError("it drops the question or the schema")
    return str(text)
