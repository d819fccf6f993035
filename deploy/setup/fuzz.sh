#!/usr/bin/env bash
# libFuzzer over every parser, or over those named: fuzz.sh SECONDS [TARGET...]. Coverage by the compiler's own pass, on
# stable Rust. What it finds stays in fastpath/fuzz/artifacts/TARGET, what it learns in fastpath/fuzz/corpus/TARGET.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
exec 9>&-

seconds=$1
shift
FUZZ=$ROOT/fastpath/fuzz
mapfile -t all < <(basename -s .rs "$FUZZ"/run/src/bin/*.rs)
targets=("${@:-${all[@]}}")
for target in "${targets[@]}"; do
  [ -f "$FUZZ/run/src/bin/$target.rs" ] || die "there is no fuzz target '$target'" "one of: ${all[*]}"
done

host=$(rustc -vV | sed -n 's/^host: //p')
# As cargo-fuzz has it, without a sanitizer: the parsers are safe Rust, so what is looked for is a panic.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
 -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"

build() {
  cd "$FUZZ/run"
  cargo build --release --locked --target "$host" --target-dir "$FUZZ/target" "${targets[@]/#/--bin=}"
}

write_seeds() {
  cd "$ROOT/fastpath"
  RUSTFLAGS='' cargo run --locked -q -p dpu-fuzz --example seeds -- "$FUZZ/corpus"
}

step "fuzz targets with coverage (${targets[*]})" "read the compiler's message above" build
step "seeds" "read the compiler's message above" write_seeds

log=$RUN_DIR/fuzz.log
: >"$log"
found=0
printf '%-10s %12s %10s %9s %8s  %s\n' target executions per-second coverage corpus findings
for target in "${targets[@]}"; do
  mkdir -p "$FUZZ/artifacts/$target"
  status=0
  "$FUZZ/target/$host/release/$target" "$FUZZ/corpus/$target" -artifact_prefix="$FUZZ/artifacts/$target/" \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    >"$log.$target" 2>&1 </dev/null || status=$?
  cat "$log.$target" >>"$log"
  stat() { sed -n "s/^stat::$1: *//p" "$log.$target" | tail -n 1; }
  last=$(grep -E '^#[0-9]+.* cov: ' "$log.$target" | tail -n 1 || true)
  cov=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")
  corpus=$(sed -n 's/.* corp: \([0-9]*\).*/\1/p' <<<"$last")
  told=none
  if [ "$status" -ne 0 ]; then
    found=$((found + 1))
    told=$(sed -n 's/.*Test unit written to //p' "$log.$target" | tail -n 1)
    told=${told:-"exit $status: see ${log#"$ROOT"/}.$target"}
    told=${told#"$ROOT"/}
  fi
  printf '%-10s %12s %10s %9s %8s  %s\n' "$target" "$(stat number_of_executed_units)" \
    "$(stat average_exec_per_sec)" "${cov:-?}" "${corpus:-?}" "$told"
done
[ "$found" -eq 0 ] || { printf 'fuzz: %d of %d targets have findings\n' "$found" "${#targets[@]}" >&2; exit 1; }
printf 'fuzz: no findings\n'
