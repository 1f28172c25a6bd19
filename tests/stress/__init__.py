"""Many kills, many odd calls, many records, broken guarantees: counted, and shown on a page."""

import sys
from pathlib import Path

if (tests := str(Path(__file__).parents[1])) not in sys.path:  # as pytest has it
    sys.path.append(tests)
