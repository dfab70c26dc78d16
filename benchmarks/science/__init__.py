"""Does the method work? One command each."""
