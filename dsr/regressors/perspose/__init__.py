"""PersPose's network: HRNet with heads for heatmaps, depth, twists and shape, decoded to a body."""
