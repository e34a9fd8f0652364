#!/usr/bin/env bash
# Tests the collection with other versions of ansible-core than the one in .venv. Usage:
#   tests/cores.sh             the oldest and the newest that this machine's Pythons allow, with the unit tests of what imports Ansible
#   tests/cores.sh --all       every one, with all unit tests
#   tests/cores.sh 2.16 2.20   these, with all unit tests
#   tests/cores.sh path 2.16   creates the virtual environment of that version, and prints the path of its commands (also: oldest, newest)
#
# On each: the unit tests, the syntax of all playbooks, the documentation of all plugins and roles. A real cluster is made by
#   CORE=2.16 lab/scenario.sh cluster
#
# The virtual environments are in .cache/cores. They have ansible-core and the pinned packages of requirements.txt, without Molecule.
# The Python comes from the distribution, from PATH or from pyenv, in this order, the fastest first. The output names the
# versions without a suitable Python.
set -eu -o pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
CACHE=$ROOT/.cache/cores
LOGS=$CACHE/logs

# The newest release of each version, and the Pythons that it and we support. The first one found is used; together they cover all.
CORES="
2.16.19   3.11 3.12
2.17.14   3.12 3.11
2.18.19   3.13 3.12 3.11
2.19.14   3.11 3.12 3.13
2.20.10   3.12 3.13 3.14
2.21.5    3.13 3.14 3.12
2.22.0rc1 3.14 3.13
"

die() { echo "cores: $*" >&2; exit 2; }

row() { awk -v name="$1" '$1 ~ "^" name "[.]" { print; exit }' <<<"$CORES"; }
names() { awk 'NF { split($1, part, "."); print part[1] "." part[2] }' <<<"$CORES"; }
# A release candidate is not the newest release.
released() { awk 'NF && $1 !~ /[a-z]/ { split($1, part, "."); print part[1] "." part[2] }' <<<"$CORES"; }

# python_of NAME: an interpreter for that ansible-core, or nothing
python_of() {
    local version candidate
    for version in $(row "$1" | cut -d ' ' -f 2-); do
        while read -r candidate; do
            # Not the interpreter of a virtual environment from which this script was started.
            "$candidate" -c 'import ensurepip, venv, sys; print(sys._base_executable)' 2> /dev/null && return
        done < <(echo "/usr/bin/python$version"; type -aP "python$version"; compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version")
    done
}

possible() { local name; for name in $("$1"); do [ -z "$(python_of "$name")" ] || echo "$name"; done; }

# named WORD: the name of an ansible-core. WORD can be oldest or newest.
named() {
    case $1 in
        oldest) possible released | sed -n 1p ;;
        newest) possible released | sed -n "\$p" ;;
        *) [ -n "$(row "$1")" ] || die "no ansible-core $1; there are: $(names | xargs)"; echo "$1" ;;
    esac
}

# venv NAME: recreated when its content has changed
venv() {
    local core python key place=$CACHE/$1
    read -r core _ <<<"$(row "$1")"
    python=$(python_of "$1")
    [ -n "$python" ] || die "ansible-core $1 needs one of the Pythons $(row "$1" | cut -d ' ' -f 2- | xargs)"
    key=$({ echo "$core"; cat requirements.txt; "$python" -c 'import sys; print(sys.version, sys.executable)'; } | sha256sum)
    [ "$(cat "$place/.key" 2> /dev/null)" != "$key" ] || return 0
    echo "cores: installing ansible-core $core into ${place#"$ROOT/"}" >&2
    rm -rf "$place"
    grep -vE '^(#|ansible-core|molecule)' requirements.txt > "$LOGS/requirements-$1.txt"
    # A second attempt, because package indexes sometimes fail.
    { "$python" -m venv "$place" && install "$place" "$core" "$1" || install "$place" "$core" "$1"; } > "$LOGS/venv-$1.log" 2>&1 ||
        { tail -n 20 "$LOGS/venv-$1.log" >&2; die "could not install ansible-core $core"; }
    echo "$key" > "$place/.key"
}
# Python compiles what it imports, and that is a small part of what pip would compile.
install() { "$1/bin/pip" install -q --no-compile --disable-pip-version-check "ansible-core==$2" -r "$LOGS/requirements-$3.txt"; }

# --- checks: each with the commands of one ansible-core first in PATH ---------------------------------

check_unit() {
    local package ignored=()
    # Code that imports no Ansible is the same on each ansible-core: the check `unit` runs it. Other Pythons than that of .venv
    # import it in the sanity tests, and run its tests only if versions are given.
    if [ "$asked" = 0 ] || [ "$(minor python)" = "$(minor .venv/bin/python)" ]; then
        ignored+=(--ignore=tests/unit/lab)
        for package in plugins/module_utils/_*/; do
            grep -qrE '^ *(from|import) ansible[. ]' --include='*.py' "$package" || ignored+=("--ignore=tests/unit/$package")
        done
    fi
    FLOTILLA_PROPERTIES=few python -m pytest -q -p no:cacheprovider "${ignored[@]}" tests/unit
}
minor() { "$1" -c 'import sys; print(*sys.version_info[:2])'; }

check_syntax() {
    local inventory
    for inventory in inventories/example inventories/lab; do
        ansible-playbook -i "$inventory" --syntax-check playbooks/*.yml
    done
}

check_doc() {
    local kind names
    for kind in module role lookup filter; do
        names=$(ansible-doc -t "$kind" --list --json flotilla.swarm | python -c 'import json, sys; print(*sorted(json.load(sys.stdin)))')
        echo "$kind: ${names:?none}"
        # shellcheck disable=SC2086  # one word a name
        ansible-doc -t "$kind" $names > /dev/null
    done
}

# try NAME: all checks on one ansible-core; a line of the table
try() {
    local name=$1 started=$SECONDS check core result=ok python
    venv "$name"
    core=$("$CACHE/$name/bin/python" -c 'from ansible.release import __version__; print(__version__)')
    python=$("$CACHE/$name/bin/python" -c 'import platform; print(platform.python_version())')
    echo "==> ansible-core $core on Python $python"
    for check in syntax doc unit; do
        local log=$LOGS/$name-$check.log at=$SECONDS
        if (set -e; export PATH=$CACHE/$name/bin:$PATH; "check_$check") > "$log" 2>&1 < /dev/null && quiet "$check" "$log"; then
            echo "    $check: ok after $((SECONDS - at)) s"
        else
            echo "    $check: FAILED after $((SECONDS - at)) s; everything it said: ${log#"$ROOT/"}"
            tail -n 40 "$log" | sed 's/^/        /'
            result=FAILED
        fi
    done
    if [ "$result" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    table+=("$(printf '%-13s %-8s %-7s %5d' "$core" "$python" "$result" $((SECONDS - started)))")
}
# A warning of Ansible is a failure, for example about an unsupported version, a deprecation or broken documentation.
# From 2.19 on ansible-doc warns of a collection of Ansible's own, _protomatter.
quiet() { [ "$1" = unit ] || ! grep -nE '^\[(WARNING|DEPRECATION WARNING|ERROR)' "$2" | grep -v _protomatter; }

# --- run -------------------------------------------------------------------------------------------

mkdir -p "$LOGS"
exec 9> "$CACHE/lock"
export ANSIBLE_CONFIG=$ROOT/ansible.cfg ANSIBLE_COLLECTIONS_PATH=$ROOT/.cache/collections ANSIBLE_NOCOLOR=1
unset ANSIBLE_FORCE_COLOR

if [ "${1:-}" = path ]; then
    name=$(named "${2:?tests/cores.sh path NAME}")
    # Two checks can need the same one at the same time.
    flock 9
    venv "$name"
    echo "$CACHE/$name/bin"
    exit
fi

link=$ROOT/.cache/collections/ansible_collections/flotilla/swarm
[ -e "$link" ] || { mkdir -p "$(dirname "$link")"; ln -sfn "$ROOT" "$link"; }
untried=() asked=$#
case ${1:-} in
    "") read -r -a wanted <<<"$({ named oldest; named newest; } | sort -u -V | xargs)" ;;
    --all) read -r -a wanted <<<"$(possible names | xargs)" ;;
    *) wanted=(); for word in "$@"; do name=$(named "$word"); wanted+=("$name"); done ;;
esac
for name in $(names); do
    [ -n "$(python_of "$name")" ] || untried+=("$name (Python $(row "$name" | cut -d ' ' -f 2- | xargs | sed 's/ / or /g'))")
done
[ "${#wanted[@]}" -gt 0 ] || die "no Python on this machine runs any of the versions: $(names | xargs)"

passed=0 failed=0 table=()
for name in "${wanted[@]}"; do
    { flock 9; venv "$name"; flock -u 9; }
    try "$name"
done

printf '\n%-13s %-8s %-7s %5s\n' ansible-core Python result s
printf '%s\n' "${table[@]}"
[ "${#untried[@]}" = 0 ] || { printf 'not on this machine, so not tried:'; printf ' %s;' "${untried[@]}"; echo; } | sed 's/;$//'
printf '\ncores: %d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
