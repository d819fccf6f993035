#!/usr/bin/env bash
# Foreign judges of the wire, each by a script of its own: conformance.sh [TOOL...], all where none is named.
# A tool has one line here: its name, and the module that runs it and exits 0 where it is content.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
exec 9>&-
cd "$ROOT"

declare -A tools=(
  [h2spec]=tests.conformance.run_h2spec
  [testssl]=tests.conformance.run_testssl
  [tlsfuzzer]=tests.conformance.run_tlsfuzzer
)

wanted=("$@")
[ "${#wanted[@]}" -gt 0 ] || mapfile -t wanted < <(printf '%s\n' "${!tools[@]}" | sort)
failed=()
for tool in "${wanted[@]}"; do
  module=${tools[$tool]:-}
  [ -n "$module" ] || die "no tool named '$tool'" "use one of: ${!tools[*]}"
  say "conformance: $tool"
  RUN_DIR=$RUN_DIR "$VENV/bin/python" -m "$module" >"$RUN_DIR/conformance-$tool.log" 2>&1 </dev/null || failed+=("$tool")
  tail -n 3 "$RUN_DIR/conformance-$tool.log"
done
[ "${#failed[@]}" -eq 0 ] || die "not content: ${failed[*]}" "read ${RUN_DIR#"$ROOT"/}/conformance-TOOL.log"
