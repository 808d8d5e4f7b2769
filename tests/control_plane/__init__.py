"""A Kubernetes control plane of its own programs on loopback, with nodes and pods that kwok simulates.

`python -m tests.control_plane --kubernetes v1.37.2 COMMAND…` runs a command beside one and stops it afterwards.
"""
