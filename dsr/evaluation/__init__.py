"""Evaluation: error metrics, in the units of what they are given."""

from __future__ import annotations

from .metrics import mpjpe, pa_mpjpe, procrustes_align, pve

__all__ = ["mpjpe", "pa_mpjpe", "procrustes_align", "pve"]
