"""How sparse a model is. `python -m pruneplug.report` compares runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruneplug.report.layers import Skipped as Skipped
    from pruneplug.report.layers import SparsityReport as SparsityReport
    from pruneplug.report.layers import sparsity_report as sparsity_report

__all__ = ["Skipped", "SparsityReport", "sparsity_report"]


def __getattr__(name: str) -> Any:
    # Comparing runs reads files only: it must not wait for Keras.
    if name not in __all__:
        raise AttributeError(f"module 'pruneplug.report' has no attribute {name!r}")
    return getattr(importlib.import_module("pruneplug.report.layers"), name)
