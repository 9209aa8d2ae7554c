"""What waits to be sent, in which order, and what the unit was told."""
