"""Development certificates and the workers' shared key: `python -m certs.dev_ca`. What is still good is kept."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from certs import authority, tokens
from certs.authority import Pair
from certs.profiles import PROFILES

DEFAULT_DIR = Path(__file__).parent / "dev"
WORKER_KEY_BYTES = 32
TENANTS = (("client", "gamma"),)
"""Client certificates that deploy/config/dev.yaml knows."""


def make(directory: Path, extra: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """Brings `directory` up to date: ca.pem, ca.key, server.pem, server.key, worker.key, and `extra`
    (profile, name) pairs as PROFILE-NAME.pem and .key. Returns the names of the files that were written."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    ca, written = keep_or_make_ca(directory)
    written += keep_or_issue(directory, ca, "server", "server", "localhost")
    for profile, name in extra:
        written += keep_or_issue(directory, ca, f"{profile}-{name}", profile, name)
    return written + keep_or_make_worker_key(directory / "worker.key")


def keep_or_make_ca(directory: Path) -> tuple[Pair, list[str]]:
    """The authority on disk if it is good, or a new one."""
    found = read_pair(directory, "ca")
    if found is not None and authority.is_good(found, found):
        return found, []
    made = authority.make_authority("dpu-app development CA")
    return made, write_pair(directory, "ca", made)


def keep_or_issue(directory: Path, ca: Pair, stem: str, profile: str, name: str) -> list[str]:
    """Issues STEM.pem and STEM.key unless a good pair is there."""
    found = read_pair(directory, stem)
    if found is not None and authority.is_good(found, ca):
        return []
    return write_pair(directory, stem, authority.issue(ca, PROFILES[profile], name))


def keep_or_make_worker_key(path: Path) -> list[str]:
    """The shared key of fast paths and workers: random bytes, used raw."""
    if path.exists() and path.stat().st_size >= WORKER_KEY_BYTES:
        return []
    write_secret(path, secrets.token_bytes(WORKER_KEY_BYTES))
    return [path.name]


def keep_or_make_token_key(directory: Path) -> list[str]:
    """jwt.key, which signs development tokens, and its public half in jwks.json."""
    try:
        public = tokens.jwks(tokens.load_key((directory / "jwt.key").read_bytes()))
        if (directory / "jwks.json").read_bytes() == public:
            return []
    except (OSError, ValueError, TypeError):
        pass  # missing or not ours: made anew below
    key = tokens.make_key()
    write_secret(directory / "jwt.key", tokens.key_pem(key))
    write_secret(directory / "jwks.json", tokens.jwks(key))
    return ["jwt.key", "jwks.json"]


def read_pair(directory: Path, stem: str) -> Pair | None:
    """What is on disk, or None where it is missing or cannot be used."""
    try:
        return authority.load((directory / f"{stem}.pem").read_bytes(), (directory / f"{stem}.key").read_bytes())
    except (OSError, ValueError, TypeError):
        return None


def write_pair(directory: Path, stem: str, pair: Pair) -> list[str]:
    """The key first: a certificate whose key is missing is worse than the reverse."""
    write_secret(directory / f"{stem}.key", pair.key_pem())
    write_secret(directory / f"{stem}.pem", pair.certificate_pem())
    return [f"{stem}.key", f"{stem}.pem"]


def write_secret(path: Path, data: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m certs.dev_ca", description=__doc__)
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIR, help="where the files are kept (%(default)s)")
    parser.add_argument(
        "--issue",
        action="append",
        default=[],
        metavar="PROFILE:NAME",
        help=f"one more certificate, e.g. client:alice; profiles: {', '.join(PROFILES)}",
    )
    options = parser.parse_args(arguments)
    options.extra = tuple(tuple(item.split(":", 1)) for item in options.issue)
    for item in options.extra:
        if len(item) != 2 or item[0] not in PROFILES or not item[1].replace("-", "").isalnum():
            parser.error(f"--issue {':'.join(item)}: give PROFILE:NAME with a profile of {', '.join(PROFILES)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Entry point; prints what was written."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    extra = tuple(dict.fromkeys([*TENANTS, *options.extra]))
    written = make(options.dir, extra) + keep_or_make_token_key(options.dir)
    print(f"{options.dir}: " + (", ".join(written) + " written" if written else "all good, nothing to do"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
