#!/usr/bin/env bash
# Train on this machine: make .venv where there is none, install the pinned versions, start or resume the run.
#   launch/local.sh [PRESET] [FLAG VALUE ...]     EXTRAS=cuda launch/local.sh grasp_objects --seed 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-grasp_cube}
shift || true
python=${PYTHON:-python3}
extras=${EXTRAS:-}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "robo_rl needs Python 3.11 or newer; say which with: PYTHON=python3.12 $0" >&2
    exit 2
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extras:+[$extras]}"

# exec: Ctrl-C and SIGTERM reach the program itself, which commits a checkpoint before it ends.
exec .venv/bin/robo-rl train "$preset" "$@"
