#!/usr/bin/env bash
# Every test: Rust with its counts added up, then Python, whose summary is the last line. Arguments go to pytest.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
exec 9>&-
cd "$ROOT"

rust_log=$RUN_DIR/cargo-test.log
rust_ok=$RUN_DIR/cargo-test.ok
rm -f "$rust_ok"
rust_status=0
say "Rust tests (dev profile: built in a third of the module's time)"
(cd fastpath && cargo test --workspace --locked --no-fail-fast && echo ok >"$rust_ok") 2>&1 |
  tee "$rust_log" | grep -vE '^(test .* \.\.\. ok|running [0-9]+ tests?|)$' || true
[ -s "$rust_ok" ] || rust_status=1
awk '/^test result:/ {passed += $4; failed += $6; ignored += $8}
     END {printf "rust: %d passed, %d failed, %d ignored\n", passed, failed, ignored}' "$rust_log"

python_status=0
say "Python tests"
"$VENV/bin/python" -m pytest "$@" </dev/null || python_status=$?
[ "$rust_status" -eq 0 ] || { printf 'rust tests failed (exit %d): see %s\n' "$rust_status" "${rust_log#"$ROOT"/}" >&2; exit 1; }
exit "$python_status"
