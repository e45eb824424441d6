"""The one place that takes secrets out of messages: of addresses, and of whatever the environment holds."""

import os
import re
from urllib.parse import unquote

_USER = re.compile(r"://[^\s/?#'\"@]*@")
"""Of an address in a text."""
_SHORTEST = 6
"""Characters of a password that is looked for by itself: a shorter one is a part of too many words."""
_SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|API_KEY|WEBHOOK|ALERT_URLS|CREDENTIAL")


def redacted(url: str) -> str:
    """An address without what may be secret in it: user and password, query and fragment."""
    # Up to the last @, wherever it is: to a parser, a slash in a password would end the user's part.
    return re.split(r"[?#]", re.sub(r"^(\w+://)?.*@", r"\1", url, flags=re.DOTALL), maxsplit=1)[0]


def without_secrets(text: str) -> str:
    """A message without users and passwords of addresses, and without the secrets of this process's environment."""
    for name, value in os.environ.items():
        if "://" in value and "@" in value:
            text = text.replace(value, redacted(value))
            user = re.sub(r"^\w[\w+.-]*://", "", value).rpartition("@")[0]
            text = _without(text, user, unquote(user), user.partition(":")[2], unquote(user.partition(":")[2]))
        elif _SECRET_NAMES.search(name):
            text = _without(text, value)
    return _USER.sub("://", text)


def _without(text: str, *secrets: str) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "[secret]")
    return text
