"""Which leads and seconds of a record a statement is aligned with."""
