"""All lifters by name, with their published sizes as defaults."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from torch import nn

from dsr.errors import UsageError

# name -> module, class, defaults that differ from the class's
_TABLE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ktpformer": ("ktpformer", "KTPFormer", {}),
    "mixste": ("mixste", "MixSTE", {}),
    "hot-mixste": ("mixste", "MixSTE", {"keep": 81, "before": 3}),
    "tpc-mixste": ("mixste", "MixSTE", {"keep": 61, "before": 7, "recover": False, "centre": True}),
    "mhformer": ("mhformer", "MHFormer", {}),
    "tpc-mhformer": ("mhformer", "MHFormer", {"keep": 117, "before": 1, "recover": False, "centre": True}),
    "motionbert": ("motionbert", "MotionBERT", {}),
    "hot-motionbert": ("motionbert", "MotionBERT", {"keep": 81, "before": 1}),
    "motionagformer": ("motionagformer", "MotionAGFormer", {}),
    "hot-motionagformer": ("motionagformer", "MotionAGFormer", {"keep": 81, "before": 7}),
    "convformer": ("convformer", "ConvFormer", {}),
    "glagcn": ("glagcn", "GLAGCN", {}),
    "uao": ("uao", "UAO", {}),
    "diffusion": ("diffusion", "DiffusionLifter", {}),
    "simplebaseline": ("simple_baseline", "SimpleBaseline", {}),
    "hot-ktpformer": ("ktpformer", "KTPFormer", {"keep": 81, "before": 3}),
}
LIFTERS: Final = MappingProxyType({name: (home, kind) for name, (home, kind, _) in _TABLE.items()})
"""Names :func:`build_lifter` takes, with the module and class of each."""
_PRUNING = ("keep", "before", "recover", "centre", "neighbours", "by_time")


def build_lifter(name: str, **config: Any) -> nn.Module:
    """A lifter by name, at its published size unless told otherwise.

    Args:
        name: one of :data:`LIFTERS`.
        **config: arguments of the class; ``keep``, ``before``, ``recover``, ``centre`` make any transformer lifter
            prune frames (:class:`~dsr.lifting.hourglass.FramePruning`); ``rescale=True`` brings people to one size on
            the screen before anything else, in any lifter.

    Returns:
        The network with random weights; load trained ones with :func:`dsr.load_checkpoint`.

    Raises:
        UsageError: for an unknown name or argument, naming what there is.

    Example:
        >>> build_lifter("hot-mixste", frames=27, width=32, keep=9).frames
        27
    """
    if name not in _TABLE:
        raise UsageError(f"There is no lifter {name!r}; there are {', '.join(sorted(_TABLE))}.")
    home, kind, defaults = _TABLE[name]
    settings = {**defaults, **config}
    rescale = bool(settings.pop("rescale", False))
    pruning = {key: settings.pop(key) for key in _PRUNING if key in settings}
    try:
        if pruning:
            from dsr.lifting.hourglass import FramePruning

            settings["pruning"] = FramePruning(**pruning)
        lifter: nn.Module = getattr(import_module(f"dsr.lifting.{home}"), kind)(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The lifter {name!r} cannot be built with {config}: {error}") from error
    if rescale:
        lifter.rescale = True  # type: ignore[assignment]
    return lifter
