"""Types that older libraries import from here."""

from typing import Any as Any
from typing import Dict as Dict  # noqa: UP035 (the names themselves are asked for)
from typing import List as List  # noqa: UP035
from typing import Optional as Optional
from typing import Tuple as Tuple  # noqa: UP035
from typing import Union as Union
