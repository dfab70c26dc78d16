"""MIMIC-IV-ECG: 12-lead ECGs with machine statements and measurements."""
