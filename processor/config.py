"""Settings of an installation, from the environment; every name begins with ``COBRAND_``.

``COBRAND_DIALECTS_FOLDER`` is read in ``schemas``, where every reader of dialects, offline ones too, finds it.
Secrets are keys for card tokens: 32 bytes in hexadecimal, never printed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class ConfigurationError(ValueError):
    """A setting is missing or malformed; the text says which and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process needs to know before it starts.

    ``database_url`` is the service role's, ``owner_database_url`` the schema owner's, needed for migrations alone.
    ``tcp_links`` is the file that says which raw TCP links listen where, None where none do.
    ``token_keys`` maps a key id to 32 bytes; ``active_token_key`` names the one that new tokens are made with.
    """

    database_url: str | None
    owner_database_url: str | None
    token_keys: Mapping[str, bytes] = field(repr=False)
    active_token_key: str
    output_folder: Path
    data_folder: Path
    tcp_links: Path | None = None


def settings_from(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises :class:`ConfigurationError` naming the variable that is wrong."""
    keys = _token_keys(environment.get("COBRAND_TOKEN_KEYS", ""))
    active = environment.get("COBRAND_ACTIVE_TOKEN_KEY", next(iter(keys), ""))
    if keys and active not in keys:
        raise ConfigurationError(f"COBRAND_ACTIVE_TOKEN_KEY names {active!r}, which COBRAND_TOKEN_KEYS does not hold")
    return Settings(
        database_url=environment.get("COBRAND_DATABASE_URL") or None,
        owner_database_url=environment.get("COBRAND_OWNER_DATABASE_URL") or None,
        token_keys=keys,
        active_token_key=active,
        output_folder=Path(environment.get("COBRAND_OUTPUT_FOLDER", "var/settlement")),
        data_folder=Path(environment.get("COBRAND_DATA_FOLDER", "/var/tmp/cobrand")),  # noqa: S108 - see embedded.py.
        tcp_links=Path(environment["COBRAND_TCP_LINKS"]) if environment.get("COBRAND_TCP_LINKS") else None,
    )


def _token_keys(text: str) -> dict[str, bytes]:
    """Parse ``id:hex,id:hex``."""
    keys: dict[str, bytes] = {}
    for entry in filter(None, text.split(",")):
        name, _, digits = entry.partition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if not name or len(key) != 32:
            raise ConfigurationError(
                "COBRAND_TOKEN_KEYS is not of the form id:hex,id:hex with 64 hexadecimal digits each; "
                "make a key with: python -c 'import secrets; print(secrets.token_hex(32))'"
            )
        keys[name] = key
    return keys
