"""The networks by name; the module of one is imported when it is built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsr.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

REGRESSORS = {
    "dsr": "dsr.regressors.dsr.hmr:HMR",
    "perspose": "dsr.regressors.perspose.network:PersPose",
}
"""Name to ``module:class``, of the networks that see crops of pictures."""
DEFAULT = "dsr.regressors.default.network:DefaultRegressor"
"""The default network sees keypoints, landmarks and silhouettes."""


def regressor_class(name: str) -> Any:
    """The class of a network, which follows :class:`dsr.regressors.Regressor`.

    Args:
        name: one of :data:`REGRESSORS`, or ``default``.

    Raises:
        UsageError: if there is no such network.
    """
    try:
        module, _, kind = (DEFAULT if name == "default" else REGRESSORS[name]).partition(":")
    except KeyError:
        raise UsageError(
            f"There is no regressor {name!r}; choose one of {', '.join([*REGRESSORS, 'default'])}."
        ) from None
    return getattr(import_module(module), kind)


def build_regressor(name: str, **config: Any) -> nn.Module:
    """An untrained network; see :func:`dsr.load_checkpoint` for its weights.

    Args:
        name: ``dsr`` (:class:`dsr.regressors.HMR`) or ``perspose`` (:class:`dsr.regressors.PersPose`), from crops to
            bodies; or ``default``, from a detector's keypoints, landmarks and silhouette to a body with its
            uncertainty (:class:`dsr.regressors.default.network.DefaultRegressor`).
        config: what its class takes; without any, the published architecture.

    Returns:
        A module that follows :class:`dsr.regressors.Regressor`; the default network has its own inputs.

    Raises:
        UsageError: if there is no such network or it does not take such a setting.

    Example:
        >>> model = build_regressor("dsr", backbone="resnet18", image_size=128)
        >>> model.image_size
        128
    """
    build = regressor_class(name)
    try:
        model: nn.Module = build(**config)
    except TypeError as error:
        raise UsageError(f"The regressor {name} cannot be built with {config}: {error}.") from error
    return model
