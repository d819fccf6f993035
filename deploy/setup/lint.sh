#!/usr/bin/env bash
# Everything that can be said about the code without running it. Goes through all checks and names those that failed.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
exec 9>&-
cd "$ROOT"

PY=$VENV/bin/python
failed=()

# check NAME FIX COMMAND...: quiet when good, everything it printed when not.
check() {
  local name=$1 fix=$2 output status=0
  shift 2
  local began=$SECONDS
  output=$("$@" 2>&1 </dev/null) || status=$?
  if [ "$status" -eq 0 ]; then
    printf 'lint: %-34s ok   %3d s\n' "$name" $((SECONDS - began))
  else
    printf '%s\nlint: %-34s FAILED\n  fix: %s\n' "$output" "$name" "$fix"
    failed+=("$name")
  fi
}

in_fastpath() { (cd fastpath && "$@"); }

# Every tree with Python in it that is there: a new one is type-checked from its first day.
mapfile -t python_trees < <(git ls-files --cached --others --exclude-standard '*.py' | cut -d/ -f1 | sort -u | grep -v '\.py$')

check "ruff format" "make format" "$PY" -m ruff format --check .
check "ruff check" "make format, then read what is left" "$PY" -m ruff check .
check "mypy --strict" "give it types; a '# type: ignore[code]' needs its reason" "$PY" -m mypy "${python_trees[@]}"
check "import rules" "ARCHITECTURE.md says who may import whom" "$VENV/bin/lint-imports" --no-cache
check "abi generated files" "make gen" "$PY" -m abi.generate --check
check "protobuf stubs" "make gen" "$PY" deploy/setup/stubs.py --check
check "docs/limits.md" "make gen" "$PY" deploy/setup/limits_page.py --check
check "the repository as data" "the message says which file and why" "$PY" -m pytest -q -p no:cacheprovider tests/tidy
check "cargo fmt" "make format" in_fastpath cargo fmt --all --check
check "cargo clippy" "read what it says; lints are set in fastpath/Cargo.toml" \
  in_fastpath cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

[ "${#failed[@]}" -eq 0 ] || { printf 'lint: failed: %s\n' "${failed[*]}"; exit 1; }
printf 'lint: all checks passed\n'
