"""CPSC2018: 12-lead ECGs of varying length with nine classes."""
