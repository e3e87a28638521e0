"""The default network: from a detector's keypoints, landmarks and silhouette to a body with its uncertainty."""
