"""The seven partner platforms of the origin system, faked faithfully over real HTTP.

An outside party: imports nothing of handrail. How it behaves, its configuration and its control
calls: docs/reference/sandbox.md.
"""
