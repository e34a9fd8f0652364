#!/usr/bin/env bash
# All checks, one after the other, each with its own log: what `make test` and .ci/run call.
#   all.sh [CHECK ...]    lint, unit, or the name of a scenario; without arguments, all
#
# V=1 shows everything as it happens. The scenarios are molecule/*/molecule.yml; in which suites one
# runs stands in its lab.env (SUITES="bookworm trixie"), and LAB_SUITE chooses one for all.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
logs=.cache/test-logs
rm -rf "$logs"
mkdir -p "$logs"

suites() {
    [ -z "${LAB_SUITE:-}" ] || { echo "$LAB_SUITE"; return; }
    local found
    found=$(sed -n 's/^SUITES=//p' "molecule/$1/lab.env" 2> /dev/null | tr -d '"')
    echo "${found:-bookworm}"
}

checks=("$@")
if [ $# -eq 0 ]; then
    checks=(lint unit)
    for file in molecule/*/molecule.yml; do
        name=$(basename "$(dirname "$file")")
        [ "$name" = default ] || checks+=("$name")
    done
fi

passed=0 failed=0 table=()
run() { # run TITLE COMMAND...
    local title=$1 log="$logs/${1// /-}.log" started=$SECONDS state
    shift
    echo "==> $title"
    if [ "${V:-}" = 1 ]; then "$@" 2>&1 | tee "$log"; else "$@" > "$log" 2>&1; fi
    if [ "${PIPESTATUS[0]}" -eq 0 ]; then
        state=ok passed=$((passed + 1))
        [ "${V:-}" = 1 ] || grep -E '^=+ .* passed.* =+$|^lint: [0-9]+ ' "$log" | tail -n 1 | sed 's/^/    /'
    else
        state=FAILED failed=$((failed + 1))
        [ "${V:-}" = 1 ] || tail -n 80 "$log" | sed 's/^/    /'
        echo "    everything it said: $log"
    fi
    echo "    $state after $((SECONDS - started)) s"
    table+=("$(printf '%-28s %-7s %5d' "$title" "$state" $((SECONDS - started)))")
}

started=$SECONDS
for check in "${checks[@]}"; do
    case $check in
        lint) run lint tests/lint.sh ;;
        unit) run unit .venv/bin/python -m pytest tests/unit ;;
        *)
            for suite in $(suites "$check"); do
                run "$check on $suite" env LAB_SUITE="$suite" LAB_PREFIX="${LAB_PREFIX:-flotilla}-$check" LAB_SUBNET=auto lab/scenario.sh "$check"
            done
            ;;
    esac
done

printf '\n%-28s %-7s %5s\n' check result s
printf '%s\n' "${table[@]}"
printf '\nafter %d s\n%d passed, %d failed\n' $((SECONDS - started)) "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
