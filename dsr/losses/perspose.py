"""The twelve losses of PersPose's training and its weights (ICCV 2025, arXiv 2508.17239; specification, section 7).

Frames and units: crop frame (the camera turned towards the person) x right, y down, z forward, metres; pixels of the
crop, (0, 0) its top left corner. Joints: SMPL's 24 (``joints24``) and Human3.6M's 17 in PersPose's order (pelvis, right
hip, knee, ankle, left hip, knee, ankle, spine, neck, nose, head, left shoulder, elbow, wrist, right ...; ``joints17``).

A batch is the collated dictionary of :mod:`dsr.datasets.perspose_view`. What a sample has no label for holds zeros (it
is never read, NaN would do no harm). Keys, without the batch dimension:

======================  ===========  ===================================================================================
``image``               (3, S, S)    RGB, normalised with IMAGE_MEAN and IMAGE_STD
``K_crop``              (3, 3)       intrinsics of the crop, pixels; COCO: f = 600 S / 256, centre S / 2
``encode``              () bool      False where K_crop is made up (COCO): no perspective encoding
``has_smpl``            () bool      body labels (Human3.6M, 3DPW, BEDLAM, synthetic): terms 1, 4, 6, 8, 10 - 12
``has_joints17``        () bool      only 3D joints (MPI-INF-3DHP): terms 3, 5, 7
``has_keypoints``       () bool      only 2D keypoints (COCO): term 2
``uv_weight``           ()           weight of term 1: 0.1 for BEDLAM, else 1
``height``              ()           standing height, metres; 1.8 where unknown
``joints24``            (24, 3)      metres, in the crop's camera (not root-relative); where has_smpl
``joints17``            (17, 3)      metres, in the crop's camera; where has_smpl (joint 0 is the 25th joint, the others
                                     are for metrics only) or has_joints17
``twist``               (24, 3)      unit twist vectors of the bones ending in each joint, crop frame
                                     (:func:`dsr.regressors.perspose_ik.twist_labels`); where has_smpl
``pose_rotmat``         (24, 3, 3)   rotations relative to the parent, 0 is the orientation in the crop frame; has_smpl
``betas``               (11,)        shape, zero-padded where the data set has fewer; where has_smpl
``transl``              (3,)         SMPL's translation in the crop frame (for vertices); where has_smpl
``keypoints``           (17, 3)      COCO's 17: u, v in crop pixels and visibility, 0 outside the crop; has_keypoints
``index``               () int64     of the record; plus the strings ``source`` and ``key``
======================  ===========  ===================================================================================

The three ``has_`` are exclusive. Mirroring for augmentation is decided per batch and undone on the outputs
(:meth:`dsr.regressors.perspose.PersPose.estimate`), so labels never depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class PersPoseOutputs:
    """What the losses look at.

    Attributes:
        uv_px: (B, 25, 2) pixels of the crop.
        depth_m: (B, 25) relative to joint 0.
        density: (B, 25) millimetres per pixel at each joint.
        relative_m: (B, 25, 3) joints relative to joint 0.
        twist: (B, 24 or 25, 3) raw twist vectors.
        leaf_rotmat: (B, 5, 3, 3) of joints 22, 23, 10, 11, 15.
        betas: (B, 11).
    """

    uv_px: Tensor
    depth_m: Tensor
    density: Tensor
    relative_m: Tensor
    twist: Tensor
    leaf_rotmat: Tensor
    betas: Tensor
