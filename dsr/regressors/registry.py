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
"""Name to ``module:class``."""


def regressor_class(name: str) -> Any:
    """The class of a network, which follows :class:`dsr.regressors.Regressor`.

    Args:
        name: one of :data:`REGRESSORS`.

    Raises:
        UsageError: if there is no such network.
    """
    try:
        module, _, kind = REGRESSORS[name].partition(":")
    except KeyError:
        if name == "default":
            raise UsageError(
                "The default regressor is no network: dsr.fit_images and dsr-fit start from the people detector's "
                f"3D landmarks. Networks are {' and '.join(REGRESSORS)}."
            ) from None
        raise UsageError(f"There is no regressor {name!r}; choose one of {', '.join(REGRESSORS)}.") from None
    return getattr(import_module(module), kind)


def build_regressor(name: str, **config: Any) -> nn.Module:
    """An untrained network from crops to bodies; see :func:`dsr.load_checkpoint` for its weights.

    Args:
        name: ``dsr`` (:class:`dsr.regressors.HMR`) or ``perspose`` (:class:`dsr.regressors.PersPose`). ``default``, as
            in ``FitOptions(regressor="default")``, is the detector's landmarks and no network.
        config: what its class takes; without any, the published architecture.

    Returns:
        A module that follows :class:`dsr.regressors.Regressor`.

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
