"""Figures of the sync: ``python -m tests.benchmarks``."""

import sys
from pathlib import Path

# Pytest finds them by its settings; a program of its own has to load them.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
