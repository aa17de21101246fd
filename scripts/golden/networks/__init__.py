"""The golden networks of scripts/golden/encoders.py, by what they read."""
