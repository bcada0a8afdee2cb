"""Which models there are (`catalog`), what fits (`fit`), loading, writing (`local`)."""

from sqlcoder_magic.models.base import Model
from sqlcoder_magic.models.catalog import register_model
from sqlcoder_magic.models.constrain import Constraint, can_constrain
from sqlcoder_magic.models.fake import FakeModel
from sqlcoder_magic.models.loading import current_model, open_model, unload_model, use_model
from sqlcoder_magic.models.plain import export_model

__all__ = [
    "Constraint",
    "FakeModel",
    "Model",
    "can_constrain",
    "current_model",
    "export_model",
    "open_model",
    "register_model",
    "unload_model",
    "use_model",
]
