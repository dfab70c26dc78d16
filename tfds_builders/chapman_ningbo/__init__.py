"""Chapman-Shaoxing-Ningbo: 12-lead ECGs with 38 benchmark classes."""
