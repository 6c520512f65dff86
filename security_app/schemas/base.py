"""What bodies and queries of all routes here share."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

MAX_METADATA_BYTES = 16_384
MAX_PER_CALL = 1000
Reference = Annotated[str, StringConstraints(min_length=1, max_length=512)]
ShortText = Annotated[str, StringConstraints(max_length=200)]
SubjectId = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
References = Annotated[list[Reference], Field(min_length=1, max_length=MAX_PER_CALL)]
SortOrder = Literal["asc", "desc"]


class StrictModel(BaseModel):
    """A body whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class QueryModel(BaseModel):
    """A query whose unknown fields are errors; all of its values are texts at first."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(QueryModel):
    """Which page of a list."""

    page: int = Field(default=1, ge=1, le=100_000)
    page_size: int = Field(default=25, ge=1, le=100)


class ListQuery(QueryModel):
    """Which rows of a list without a frame; more than a thousand take further pages."""

    page: int = Field(default=1, ge=1, le=100_000)
    page_size: int = Field(default=MAX_PER_CALL, ge=1, le=MAX_PER_CALL)


def small_object(value: Any) -> Any:
    """A JSON object that is no larger than metadata may be; its numbers are plain floats again."""
    if not isinstance(value, dict):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValueError(f"it has more than {MAX_METADATA_BYTES} bytes")
    return json.loads(text)


Metadata = Annotated[dict[str, Any], BeforeValidator(small_object)]
