"""Flow control that every source of writes shares: bounded in bytes, paced, and broken off where a dependency fails
(contract §3, L1, L3 and L4; L2 is the autoscaler's). Clocks are injected."""
