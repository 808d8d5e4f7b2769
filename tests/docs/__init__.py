"""Tests of the documentation: links, widths, generated pages, drawings."""
