"""12-lead ECG signals: int16 microvolts, (12, T), leads placed by name."""
