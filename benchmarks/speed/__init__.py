"""What the pipeline costs on top of its engine, beside others who do the same; see `__main__`."""
