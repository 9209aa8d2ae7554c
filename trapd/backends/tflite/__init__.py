"""TFLite models: trapd's own, or any of a known layout. `classifier` is what the daemon opens."""
