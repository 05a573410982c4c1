"""Data on the device: generating processes, loaders, samplers."""
