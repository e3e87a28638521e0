"""DSR's network: HMR's iterative regressor on ResNet-50 (DSR specification, section 5)."""
