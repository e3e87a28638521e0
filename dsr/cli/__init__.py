"""The commands, one file each; thin over the package's public functions."""
