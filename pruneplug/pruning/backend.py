"""Which backend Keras runs on: TensorFlow's is the only one that pruning works on."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

BACKEND = "tensorflow"
_VARIABLE = "KERAS_BACKEND"


def require_tensorflow() -> None:
    """Refuse another backend; Keras is not imported for it.

    Raises:
        ImportError: If Keras runs on another backend, or would once it is imported.
    """
    name, setting = _chosen()
    if name != BACKEND:
        raise ImportError(
            f"Keras must run on the {BACKEND} backend to prune; got {setting}. "
            f"Set {_VARIABLE}={BACKEND} before Keras is imported."
        )


def on_tensorflow() -> bool:
    """Return whether Keras runs on TensorFlow, or would once it is imported."""
    return _chosen()[0] == BACKEND


def _chosen() -> tuple[str, str]:
    """Return the backend and the setting that it comes from, as Keras looks for them."""
    if (keras := sys.modules.get("keras.backend")) is not None:
        name = str(keras.backend())
        return name, f"backend={name!r}, which Keras has loaded"
    if name := os.environ.get(_VARIABLE, ""):
        return name, f"{_VARIABLE}={name}"
    file = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"
    try:
        name = str(json.loads(file.read_text(encoding="utf-8")).get("backend", BACKEND))
    except (OSError, ValueError, AttributeError):
        return BACKEND, ""  # Keras ignores a file like that too
    return name, f"backend={name!r} in {file}"
