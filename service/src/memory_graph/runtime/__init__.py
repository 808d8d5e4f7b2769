"""The runtime of the service's processes: supervised tasks, the health probe, resources that are opened and closed."""
