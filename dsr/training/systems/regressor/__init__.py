"""The image-to-body networks as systems of ``dsr-train``: configuration, recipes, data, measures, pictures."""
