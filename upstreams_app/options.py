"""What an upstream of some kinds is told besides its address and credential: described once, checked by it.

The admin's form, the API's description and the guide of providers are made from, or compared with, the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple


class WrongOption(ValueError):
    """An option that can't be used; `option` is its name, the text is for an administrator."""

    def __init__(self, message: str, *, option: str) -> None:
        super().__init__(message)
        self.option = option


class Option(NamedTuple):
    """One option.

    A text, and each name of a list, must match `pattern` as a whole, or be one of `choices`; `expected` says
    so in words. Without one that is `required` nobody knows where the upstream is, unless its base URL is
    given. `is_asked_first` are those that the first run asks for; `variables` of the environment may hold it.
    """

    name: str
    label: str
    help: str
    expected: str
    type: Literal["text", "number", "flag", "names"] = "text"
    pattern: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    is_asked_first: bool = False
    variables: tuple[str, ...] = ()

    def takes(self, value: Any) -> bool:
        """Whether a value can be this option's."""
        if self.type == "flag":
            return isinstance(value, bool)
        if self.type == "number":
            return isinstance(value, int) and not isinstance(value, bool) and value > 0
        if self.type == "names":
            return isinstance(value, list) and all(self._takes_text(item) for item in value)
        return self._takes_text(value)

    def _takes_text(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if self.choices:
            return value in self.choices
        return re.fullmatch(self.pattern, value, re.ASCII) is not None


def check_options(label: str, described: Sequence[Option], options: Mapping[str, Any]) -> None:
    """WrongOption unless the options are among those described, and each is as it must be."""
    known = {option.name: option for option in described}
    for name, value in options.items():
        option = known.get(name)
        if option is None:
            has = f"the options {', '.join(known)}" if known else "no options"
            raise WrongOption(f"{label} has {has}; not '{name}'.", option=name)
        if not option.takes(value):
            raise WrongOption(f"{name} must be {option.expected}.", option=name)


AZURE_OPENAI = (
    Option(
        "tenant_id",
        "Tenant",
        "Of Microsoft Entra: with it and a client calls have tokens; the credential is the client’s secret.",
        "the id of a tenant, or one of its domains",
        pattern=r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?",
        variables=("AZURE_TENANT_ID",),
    ),
    Option(
        "client_id",
        "Client",
        "The application’s id in that tenant; or which of the machine’s managed identities.",
        "the id of an application, a UUID",
        pattern=r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        variables=("AZURE_CLIENT_ID",),
    ),
    Option(
        "identity",
        "The machine’s own identity",
        "In place of a credential: managed (of a machine or app at Azure) or workload (a federated token).",
        '"managed" or "workload"',
        choices=("managed", "workload"),
    ),
)
ANTHROPIC = (
    Option(
        "version",
        "API version",
        "The anthropic-version of all calls. Empty: the newest one that takes what a request has.",
        "a version of Anthropic's API, such as 2023-06-01",
        pattern=r"\d{4}-\d{2}-\d{2}",
    ),
    Option(
        "betas",
        "Beta features",
        "Names for the header anthropic-beta, such as context-1m-2025-08-07, one a line.",
        'a list of names, such as ["context-1m-2025-08-07"]',
        type="names",
        pattern=r"[a-z0-9][a-z0-9-]*",
    ),
    Option(
        "max_tokens",
        "Limit of answers",
        "In tokens, where a request sets none: Anthropic demands one. Empty: what suits the model.",
        "a whole number of tokens",
        type="number",
    ),
    Option(
        "sampling",
        "Temperature and its like",
        "What becomes of them where a model takes none. Empty: such requests are refused.",
        '"refuse" or "ignore"',
        choices=("refuse", "ignore"),
    ),
)
VERTEX = (
    Option(
        "project",
        "Project",
        "The project's id. Empty: that of the service account's key; an API key needs none.",
        "the id of a project",
        pattern=r"[a-z0-9][a-z0-9.:-]{2,98}[a-z0-9]",
        is_asked_first=True,
        variables=("VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT"),
    ),
    Option(
        "location",
        "Location",
        "A region, such as europe-west4, or us or eu; it makes the address. Empty: global.",
        "the id of a location",
        pattern=r"[a-z][a-z0-9-]{1,38}",
        is_asked_first=True,
        variables=("VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION"),
    ),
)
BEDROCK = (
    Option(
        "region",
        "Region",
        "Such as eu-central-1; it makes the address, and signatures name it.",
        "an AWS region, such as us-east-1",
        pattern=r"[a-z]{2,5}(-[a-z]+){1,3}-\d{1,2}",
        required=True,
        is_asked_first=True,
        variables=("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"),
    ),
    Option(
        "role_arn",
        "Role to assume",
        "The ARN of an IAM role that calls are made as.",
        "the ARN of an IAM role",
        pattern=r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+",
    ),
    Option(
        "external_id",
        "External id",
        "Goes with the role, if its owner asks for one.",
        "2 to 1224 letters, digits and =,.@:/-",
        pattern=r"[\w+=,.@:/-]{2,1224}",
    ),
    Option(
        "session_name",
        "Session name",
        "Goes with the role: the name of the calls in AWS's own logs.",
        "2 to 64 letters, digits and =,.@-",
        pattern=r"[\w+=,.@-]{2,64}",
    ),
    Option(
        "profile",
        "Profile",
        "Of the server's AWS configuration files, where no credential is stored here.",
        "the name of a profile",
        pattern=r"[\w+=,.@:/ -]{1,128}",
    ),
    Option(
        "structured_outputs",
        "Bedrock’s own structured outputs",
        "For JSON schemas, instead of a tool that the model must call. Empty: where the model is known to "
        "have them.",
        "true or false",
        type="flag",
    ),
)
# Models of servers of one's own that write what they think into their text.
THOUGHTS = (
    Option(
        "thought_tags",
        "Models that think in tags",
        "Their names, one a line, or * for all: what stands between “think” tags where a text begins becomes "
        "reasoning_content.",
        'a list of names of models, or ["*"]',
        type="names",
        pattern=r"\S.{0,199}",
    ),
    Option(
        "thought_tags_opened",
        "Models whose template opens the tag",
        "Names, or *: their texts begin with what they think, up to the closing “think” tag.",
        'a list of names of models, or ["*"]',
        type="names",
        pattern=r"\S.{0,199}",
    ),
)
