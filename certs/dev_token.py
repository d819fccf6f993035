"""Prints a JSON Web Token that the development configuration takes: `python -m certs.dev_token --tenant gamma`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from certs import tokens
from certs.dev_ca import DEFAULT_DIR


def main(arguments: list[str] | None = None) -> int:
    """Entry point. 1 where there is no signing key."""
    parser = argparse.ArgumentParser(prog="python -m certs.dev_token", description=__doc__)
    parser.add_argument("--tenant", required=True, help="the claim 'tenant'")
    parser.add_argument("--lifetime", type=int, default=3600, metavar="SECONDS", help="(%(default)s)")
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIR, help="where jwt.key is (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        key = tokens.load_key((options.dir / "jwt.key").read_bytes())
    except (OSError, ValueError) as error:
        print(f"{options.dir / 'jwt.key'}: {error}; make it with: python -m certs.dev_ca", file=sys.stderr)
        return 1
    print(tokens.token(key, tokens.claims(options.tenant, options.lifetime)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
