"""Tests; the folders mirror `src/sublm`."""
