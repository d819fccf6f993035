#!/usr/bin/env bash
# p4runtime-shell in .run/p4shell: it pins an old protobuf, so it does not fit into .venv. Without a package index the tests
# that ask it are skipped and say so.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PYTHON=${PYTHON:-/usr/bin/python3}
SHELL_VENV=$RUN_DIR/p4shell
LOCK=$ROOT/deploy/setup/p4shell.lock

locked=$(fingerprint "$LOCK")
if [ "$(cat "$SHELL_VENV/locked" 2>/dev/null)" = "$locked" ]; then
  say "p4runtime-shell: as locked"
  exit 0
fi

make_shell() {
  rm -rf "$SHELL_VENV"
  "$PYTHON" -m venv "$SHELL_VENV"
  "$SHELL_VENV/bin/python" -m pip --disable-pip-version-check --no-input install --no-deps -r "$LOCK"
}

if make_shell >>"$LOG" 2>&1 </dev/null; then
  printf '%s\n' "$locked" >"$SHELL_VENV/locked"
  say "p4runtime-shell: installed"
else
  rm -rf "$SHELL_VENV"
  say "p4runtime-shell: no package index: its tests are skipped (see ${LOG#"$ROOT"/})"
fi
