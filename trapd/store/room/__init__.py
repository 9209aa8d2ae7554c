"""Room on the disk, and what goes first when there is none."""
