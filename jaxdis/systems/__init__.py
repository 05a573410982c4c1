"""One file a paper: `Config`, `PRESETS`, `make(config, spec) -> System`."""
