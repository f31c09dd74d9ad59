"""What is known of the models of Google's Gemini API, from `catalogue.json`, which says of what day it is and where from.

Models that it does not name can be called all the same; the configuration's `models.catalogue` overrides it.
"""

from __future__ import annotations

from typing import Final

from jackfield.api import Catalogue

CATALOGUE: Final = Catalogue(__file__, owner="google")
