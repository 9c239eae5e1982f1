"""Measurements, each against something beside it in the same run: the machine's speed drifts."""
