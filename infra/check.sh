#!/usr/bin/env bash
# Form, rules, types and tests; the same for people, pre-commit and CI.
# Arguments go to pytest: `infra/check.sh -m "not slow"` leaves out what starts servers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# inside a git hook these would turn the tests' own repositories into this one
unset $(git rev-parse --local-env-vars)
# the many processes that tests start find compiled what an earlier one compiled
unset PYTHONDONTWRITEBYTECODE
# each processor has a test process: threads would wait for each other
export OMP_NUM_THREADS=1

report="$(mktemp)"
trap 'rm -f "$report"' EXIT

python -m ruff format --check .
python -m ruff check .
lint-imports --no-cache >"$report" || { cat "$report"; exit 1; }
# types are checked beside the first tests, which mostly wait
python -m mypy >"$report" 2>&1 &
types=$!
tests=0
python -m pytest -n auto --dist worksteal "$@" || tests=$?
wait "$types" && typed=0 || typed=$?
cat "$report"
exit $((tests ? tests : typed))
