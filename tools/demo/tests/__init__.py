"""Tests of the demo tools; they run from the folder above (see README.md there)."""
