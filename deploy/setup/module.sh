#!/usr/bin/env bash
# Builds the Rust module dpu_fastpath into .venv. Cargo decides what is stale; nothing is installed when nothing was built.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CRATE=$ROOT/fastpath/python
PROFILE=${PROFILE:-release} # dev: built again in seconds after a change, slower to run
RUST_FIX="install Rust with rustup (https://rustup.rs), or 'rustup update stable'; Debian 12's own cargo is too old"

wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/fastpath/Cargo.toml")
command -v cargo >/dev/null || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
command -v cargo >/dev/null || die "cargo is not here; Rust $wanted or newer is needed" "$RUST_FIX"
found=$(cargo --version | cut -d' ' -f2)
[ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ] ||
  die "cargo is $found; Rust $wanted or newer is needed" "$RUST_FIX"

# What the module is made from. Make-like: newer than the stamp means build. (-quit: a find that is cut off by grep would
# count as a failure under pipefail, and many changes as none.)
stale() {
  [ "$(cat "$STAMPS/module" 2>/dev/null)" = "$PROFILE" ] && "$VENV/bin/python" -c 'import dpu_fastpath' 2>/dev/null || return 0
  find "$ROOT/fastpath" "$ROOT/dpu_proto" -name target -prune -o -newer "$STAMPS/module" -type f \
    \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.proto' -o -name '*.h' -o -name '*.pyi' \) -print -quit |
    grep -q .
}

build() {
  cd "$CRATE"
  VIRTUAL_ENV=$VENV PATH=$VENV/bin:$PATH maturin develop --profile "$PROFILE" --locked
}

if stale; then
  mkdir -p "$STAMPS"
  echo "$PROFILE" >"$STAMPS/module.began"
  title="Rust module dpu_fastpath"
  [ -d "${CARGO_TARGET_DIR:-$ROOT/fastpath/target}" ] || title="$title (the first build takes some minutes)"
  step "$title" "read the compiler's message above; 'make clean' if the build folder is broken" build
  mv "$STAMPS/module.began" "$STAMPS/module"
else
  say "Rust module dpu_fastpath: up to date"
fi
