"""Adaptation of a lifter to cameras and people nobody labelled: PoseDA's augmentation and its training."""
