"""PTB-XL: 12-lead ECGs with reports and four label tasks."""
