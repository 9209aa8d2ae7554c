"""The filter without a unit: `replay` and `evaluate` over photographs in folders. No store, no broker."""
