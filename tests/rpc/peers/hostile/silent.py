"""Never answers the registration."""

import sys

for _ in sys.stdin:
    pass
