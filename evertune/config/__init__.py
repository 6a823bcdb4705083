"""params.yaml: its schema, the checks across sections, reading and editing it.

    from evertune.config import load_params
    params = load_params(root)      # ParamsError lists every fault, each with its line
    params.metric.primary

`schema` has every key with its default; `edit_params` writes values and keeps comments.
"""

from evertune.config.loader import edit_params, find_root, load_params, load_paths
from evertune.config.schema import Params
from evertune.errors import ParamsError

__all__ = ["Params", "ParamsError", "edit_params", "find_root", "load_params", "load_paths"]
