"""The way from a request or an event to one atomic write: checks, plugins, derived edges, the store."""
