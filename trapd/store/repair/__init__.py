"""What start-up brings back together after power cuts and damage."""
