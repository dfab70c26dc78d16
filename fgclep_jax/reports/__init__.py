"""Report text: statements, feature names, prompts and word pieces."""
