"""Networks from one crop to a posed, shaped SMPL-style body: DSR's HMR regressor and PersPose.

Nothing is imported until a name is used. A network is built by :func:`build_regressor`, filled by
:func:`dsr.load_checkpoint` and asked through ``predict`` (:class:`Regressor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

if TYPE_CHECKING:
    from dsr.regressors.crops import PeopleCrops as PeopleCrops
    from dsr.regressors.crops import crop_people as crop_people
    from dsr.regressors.dsr.backbones import load_imagenet_weights as load_imagenet_weights
    from dsr.regressors.dsr.hmr import HMR as HMR
    from dsr.regressors.inference import RegressedBodies as RegressedBodies
    from dsr.regressors.inference import regress as regress
    from dsr.regressors.loading import LoadedRegressor as LoadedRegressor
    from dsr.regressors.loading import load_regressor as load_regressor
    from dsr.regressors.perspose.network import PersPose as PersPose
    from dsr.regressors.registry import REGRESSORS as REGRESSORS
    from dsr.regressors.registry import build_regressor as build_regressor
    from dsr.regressors.types import BodyPrediction as BodyPrediction
    from dsr.regressors.types import Regressor as Regressor

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "crops": ("PeopleCrops", "crop_people"),
        "dsr.hmr": ("HMR",),
        "dsr.backbones": ("load_imagenet_weights",),
        "inference": ("RegressedBodies", "regress"),
        "loading": ("LoadedRegressor", "load_regressor"),
        "perspose.network": ("PersPose",),
        "registry": ("REGRESSORS", "build_regressor"),
        "types": ("BodyPrediction", "Regressor"),
    },
)
