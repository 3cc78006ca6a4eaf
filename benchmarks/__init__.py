"""Measurements of Handrail on this machine: `make bench`."""
