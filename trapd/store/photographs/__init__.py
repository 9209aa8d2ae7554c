"""Photographs and their thumbnails, from the burst to the disk and back."""
