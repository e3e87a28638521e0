"""Networks from one crop to a posed, shaped SMPL-style body: DSR's HMR regressor and PersPose.

Nothing is imported until a name is used. A network is built by :func:`build_regressor`, filled by
:func:`dsr.load_checkpoint` and asked through ``predict`` (:class:`Regressor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsr._lazy import attach

_PUBLIC = {
    "BodyPrediction": "types",
    "Regressor": "types",
    "IMAGE_MEAN": "constants",
    "IMAGE_STD": "constants",
    "REGRESSORS": "registry",
    "build_regressor": "registry",
    "CheckpointReport": "checkpoint",
    "load_checkpoint": "checkpoint",
    "read_state_dict": "checkpoint",
    "HMR": "hmr",
    "MeanParams": "hmr",
    "load_mean_params": "hmr",
    "ResNet": "resnet",
    "load_imagenet_weights": "resnet",
    "JOINTS49_NAMES": "spin_joints",
    "PlacedBody": "weak_camera",
    "fit_translation": "weak_camera",
    "translation_to_camera": "weak_camera",
    "mirror_pose": "hmr",
    "joints49": "spin_joints",
    "load_extra_regressor": "spin_joints",
    "camera_to_translation": "weak_camera",
    "place_in_picture": "weak_camera",
    "project_weak": "weak_camera",
    "PersPose": "perspose",
    "PersPoseHeads": "perspose",
    "IkResult": "perspose_ik",
    "solve_ik": "perspose_ik",
    "twist_labels": "perspose_ik",
    "PeopleCrops": "inference",
    "RegressedBodies": "inference",
    "crop_people": "inference",
    "crop_record": "inference",
    "regress": "inference",
    "LoadedRegressor": "loading",
    "load_regressor": "loading",
    "PhotoRegressor": "onto_body",
    "BodyTransfer": "transfer",
}

__all__ = [
    "HMR",
    "IMAGE_MEAN",
    "IMAGE_STD",
    "JOINTS49_NAMES",
    "REGRESSORS",
    "BodyPrediction",
    "BodyTransfer",
    "CheckpointReport",
    "IkResult",
    "LoadedRegressor",
    "MeanParams",
    "PeopleCrops",
    "PersPose",
    "PersPoseHeads",
    "PhotoRegressor",
    "PlacedBody",
    "RegressedBodies",
    "Regressor",
    "ResNet",
    "build_regressor",
    "camera_to_translation",
    "crop_people",
    "crop_record",
    "fit_translation",
    "joints49",
    "load_checkpoint",
    "load_extra_regressor",
    "load_imagenet_weights",
    "load_mean_params",
    "load_regressor",
    "mirror_pose",
    "place_in_picture",
    "project_weak",
    "read_state_dict",
    "regress",
    "solve_ik",
    "translation_to_camera",
    "twist_labels",
]

if TYPE_CHECKING:
    from dsr.regressors.checkpoint import CheckpointReport, load_checkpoint, read_state_dict
    from dsr.regressors.constants import IMAGE_MEAN, IMAGE_STD
    from dsr.regressors.hmr import HMR, MeanParams, load_mean_params, mirror_pose
    from dsr.regressors.inference import PeopleCrops, RegressedBodies, crop_people, crop_record, regress
    from dsr.regressors.loading import LoadedRegressor, load_regressor
    from dsr.regressors.onto_body import PhotoRegressor
    from dsr.regressors.perspose import PersPose, PersPoseHeads
    from dsr.regressors.perspose_ik import IkResult, solve_ik, twist_labels
    from dsr.regressors.registry import REGRESSORS, build_regressor
    from dsr.regressors.resnet import ResNet, load_imagenet_weights
    from dsr.regressors.spin_joints import JOINTS49_NAMES, joints49, load_extra_regressor
    from dsr.regressors.transfer import BodyTransfer
    from dsr.regressors.types import BodyPrediction, Regressor
    from dsr.regressors.weak_camera import (
        PlacedBody,
        camera_to_translation,
        fit_translation,
        place_in_picture,
        project_weak,
        translation_to_camera,
    )

__getattr__, __dir__ = attach(__name__, _PUBLIC)
