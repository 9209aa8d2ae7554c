"""What a unit is told to be from afar: proposals, their trial, and the way back.

A document from the operator lies over the local file (overlay). It is judged, tried by a process of its own,
and kept only when that process has proved that the unit can still be reached; else the last good one returns.
"""
