"""Skeleton lifters as a system of ``dsr-train``: configuration, data, recipes, the task and its model card."""
