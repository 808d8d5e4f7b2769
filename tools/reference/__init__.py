"""The generated pages of docs/reference: each module of this package returns one page from the code it describes."""
