"""REST (contract §4): Litestar on uvicorn, in the event loop of the process."""
