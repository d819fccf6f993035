#!/usr/bin/env bash
# Compiles the v1model main into p4/build (or the folder in $1): what P4Runtime clients and BMv2 read, and what is checked in.
# P4C names the compiler where it is not on PATH as p4c-bm2-ss.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

out="${1:-build}"
p4c="${P4C:-p4c-bm2-ss}"
if ! command -v "${p4c%% *}" >/dev/null; then
    echo "p4/build.sh: there is no ${p4c%% *}; install p4c (its BMv2 back end), or name it: P4C=/path/to/p4c-bm2-ss $0" >&2
    exit 1
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# P4C may carry options of its own, such as the include folder of a compiler that was not installed.
# shellcheck disable=SC2086
$p4c --Werror --p4runtime-files "$scratch/dpu.txt" -o "$scratch/dpu.json" programs/dpu_v1model.p4
mkdir -p "$out"
cp "$scratch/dpu.txt" "$out/dpu.p4info.txtpb"
# Without the places in the source: they are three quarters of the file, and differ from machine to machine.
python3 - "$scratch/dpu.json" "$out/dpu.json" <<'PYTHON'
import json
import sys


def bare(value):
    if isinstance(value, dict):
        return {key: bare(part) for key, part in value.items() if key not in ("source_info", "source_fragment")}
    return [bare(part) for part in value] if isinstance(value, list) else value


with open(sys.argv[1], encoding="utf-8") as file:
    config = bare(json.load(file))
config.pop("program", None)


def lines(value):
    """One line an element, so that a difference can be read."""
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(part) for part in value) + "\n]"


with open(sys.argv[2], "w", encoding="utf-8") as file:
    file.write("{" + ",\n".join(f"{json.dumps(key)}: {lines(part)}" for key, part in config.items()) + "}\n")
PYTHON
