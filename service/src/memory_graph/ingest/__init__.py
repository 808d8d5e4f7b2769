"""How a request becomes one atomic write: checks, derived edges, plugins, the store."""
