"""What every section of params.yaml is."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Auto = Literal["auto"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
ColumnName = Annotated[str, Field(min_length=1)]
Function = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


class Section(BaseModel):
    """A part of params.yaml; unknown keys are refused and values are never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
