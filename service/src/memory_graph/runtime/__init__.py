"""What the processes of the service run on: supervised tasks, the health probe, what both open and close."""
