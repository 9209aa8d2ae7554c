"""Bursts: recorded, judged, dated, drawn for audit."""
