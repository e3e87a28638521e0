"""Training: one loop for every system (``dsr.training.loop``), and the systems themselves."""
