"""Training of the default network on pairs of made-up people and what the detector says about them."""
