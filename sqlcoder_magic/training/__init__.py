"""Training of the bundled small model: corpus, augmentation, packing, the loop, export.

    python -m sqlcoder_magic.training prepare|pack|train|prefer|evaluate|export|plot|drift|refusals

The prompt comes from `prompt`, the storage from `models.packed`, the scores from `evals`:
training and use cannot drift apart. Nothing else in the package imports this room.
"""
