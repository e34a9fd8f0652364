#!/usr/bin/env bash
# All static checks. Usage: tests/lint.sh [CHECK ...]; without arguments every check runs.
# tests/lint.sh --fix repairs what ruff can repair in the Python files, writes the tables of variables
# in the READMEs of the roles and docs/variables.md, and checks nothing.
#
# Needs Python 3.11 or newer, git and a package index for pip. The tools live in .cache (pinned in
# requirements-lint.txt, requirements-importer.txt and requirements-docs.txt); nothing is written outside the checkout.
# The checks look at a copy of the work tree (what git tracks, plus new files that it does not ignore),
# because ansible-test only works in a directory named ansible_collections/NAMESPACE/NAME.
set -euo pipefail
cd -P "$(dirname "$0")/.."

ROOT=$PWD
CACHE=$ROOT/.cache
COLLECTIONS=$CACHE/lint
COPY=$COLLECTIONS/ansible_collections/flotilla/swarm
LOGS=$CACHE/lint-logs
DIST=$CACHE/lint-dist
TOOLS=$CACHE/venv-lint
IMPORTER=$CACHE/venv-importer
SITE=$CACHE/venv-docs
PYTHON=${PYTHON:-python3}
# The Python versions of hosts that ansible-core 2.19 can test. What those in between lack, the oldest or the newest lacks too,
# so only `make soak` has all of them. ansible-test always tries its own.
VERSIONS="3.9 3.13"
[ "${FLOTILLA_SOAK:-}" != 1 ] || VERSIONS="3.9 3.10 3.11 3.12 3.13"
# What sanity says once more: pep8 is that of ruff and format, ansible-doc that of install, changelog and shellcheck have a check
# of that name. And it looks at what users install. Of the rest, ruff, format, mypy and yamllint see more.
TWICE=(--skip-test pep8 --skip-test ansible-doc --skip-test changelog --exclude tests/ --exclude molecule/ --exclude lab/ --exclude bench/)
[ "${FLOTILLA_SOAK:-}" != 1 ] || TWICE=()
# Python compiles what it imports, and that is a small part of what pip would compile.
export PIP_COMPILE=0

# In the order of the summary. ansible-test is by far the slowest and runs beside the others.
CHECKS=(ruff format mypy shellcheck yamllint ansible-lint changelog docs readmes site build importer install sanity)
declare -A WHAT=(
  [ruff]="errors and style of the Python files"
  [format]="layout of the Python files (ruff format)"
  [mypy]="types of the Python files"
  [shellcheck]="errors in the shell scripts"
  [yamllint]="errors and style of the YAML files"
  [ansible-lint]="roles, playbooks, modules, plays and inventories in documents, profile production"
  [changelog]="changelog fragments (antsibull-changelog)"
  [docs]="documentation of plugins and roles (antsibull-docs)"
  [readmes]="tables of variables in the READMEs of the roles and in docs/variables.md are up to date"
  [site]="site of the documentation (antsibull-docs, Sphinx), warnings are errors"
  [build]="ansible-galaxy collection build, ansible-builder create"
  [importer]="what Ansible Galaxy checks on import (galaxy-importer)"
  [install]="install from the tarball, ansible-doc of everything in it"
  [sanity]="ansible-test sanity"
)

say() { printf 'lint: %s\n' "$*"; }
die() { say "$*" >&2; exit 2; }

# --- tools -------------------------------------------------------------------------------------

need_python() {
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "Python 3.11 or newer is needed; set PYTHON to one"
  # Not the interpreter of the virtual environment that we may have been started from.
  PYTHON=$("$PYTHON" -c 'import sys; print(sys._base_executable)')
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "$PYTHON has no venv: apt install python3-venv"
  fi
  say "installing python3-venv"
  { apt-get -qq update && apt-get -qq install -y python3-venv; } >"$LOGS/setup" 2>&1 ||
    { cat "$LOGS/setup"; die "could not install python3-venv"; }
}

# venv DIRECTORY REQUIREMENTS: recreated when the requirements or the interpreter have changed
venv() {
  local key
  key=$({ cat "$2"; "$PYTHON" -c 'import sys; print(sys.version, sys.executable)'; } | sha256sum)
  [ "$(cat "$1/.key" 2>/dev/null)" != "$key" ] || return 0
  say "installing the tools of $(basename "$2") into ${1#"$ROOT/"}"
  rm -rf "$1"
  # A second attempt, because package indexes sometimes fail.
  { "$PYTHON" -m venv "$1" && { "$1/bin/pip" install -q -r "$2" || "$1/bin/pip" install -q -r "$2"; }; } \
    >"$LOGS/setup" 2>&1 || { cat "$LOGS/setup"; die "could not install $2"; }
  echo "$key" >"$1/.key"
}

# Interpreters for ansible-test, which looks for pythonX.Y in PATH and takes a pyenv shim for one.
pythons() {
  local version candidate
  rm -rf "$CACHE/pythons"
  mkdir -p "$CACHE/pythons"
  for version in $VERSIONS; do
    while read -r candidate; do
      if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        ln -s "$("$candidate" -c 'import sys; print(sys.executable)')" "$CACHE/pythons/python$version"
        break
      fi
    done < <(echo "/usr/bin/python$version"; type -aP "python$version"; compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version")
  done
}

# ansible-test keeps its environments in HOME and fetches get-pip.py from a server of its own.
# With a HOME in .cache nothing of the user's is touched; this stand-in gets pip from the interpreter.
# The name belongs to ansible-core 2.19.
test_home() {
  local name
  mkdir -p "$CACHE/home/.ansible/test/cache"
  for name in .config .pip .gitconfig; do
    [ ! -e "$HOME/$name" ] || ln -sfn "$HOME/$name" "$CACHE/home/$name"
  done
  cat >"$CACHE/home/.ansible/test/cache/get_pip_24_2.py" <<'PY'
import subprocess
import sys

args = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
# In a process of its own: ensurepip switches off the pip configuration of the process it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade"], stdout=subprocess.DEVNULL)
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--quiet"] + args))
PY
}

copy_tree() {
  rm -rf "$COPY" "$DIST"
  mkdir -p "$COPY" "$DIST"
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] && [ ! -L "$file" ] || printf '%s\0' "$file"; done |
    tar -c --null -T - | tar -x -C "$COPY"
  git -C "$COPY" init -q
  git -C "$COPY" add -A
}

# --- checks: each runs in a subshell with -e, in the copy --------------------------------------

check_ruff() { "$TOOLS/bin/ruff" check --no-fix --output-format concise .; }
check_format() { "$TOOLS/bin/ruff" format --check --output-format concise . || { echo "to lay them out: tests/lint.sh --fix"; return 1; }; }
check_mypy() {
  # From above ansible_collections, so that the files have their real module names.
  cd "$COLLECTIONS"
  "$TOOLS/bin/mypy" --config-file "$COPY/pyproject.toml" --cache-dir "$CACHE/mypy" --no-error-summary \
    ansible_collections/flotilla/swarm
}
check_shellcheck() {
  git ls-files -z | xargs -0 grep -lE --binary-files=without-match '^#!.*[/ ](ba)?sh( |$)' >"$LOGS/scripts"
  xargs -r "$TOOLS/bin/shellcheck" -x -S warning <"$LOGS/scripts"
}
check_yamllint() { "$TOOLS/bin/yamllint" --strict .; }
check_ansible-lint() {
  local rc=0
  # With the plays and inventories that documents show.
  "$TOOLS/bin/python" lab/documents.py playbooks inventories
  "$TOOLS/bin/ansible-lint" --offline --strict -q --nocolor || rc=$?
  rm playbooks/shown_*.yml inventories/shown_*.yml
  return "$rc"
}
check_changelog() {
  "$TOOLS/bin/antsibull-changelog" lint
  [ ! -e changelogs/changelog.yaml ] || "$TOOLS/bin/antsibull-changelog" lint-changelog-yaml changelogs/changelog.yaml
}
check_docs() { "$TOOLS/bin/antsibull-docs" lint-collection-docs --plugin-docs --validate-collection-refs self .; }
check_readmes() {
  "$TOOLS/bin/python" tests/role_docs.py --check
  "$TOOLS/bin/python" tests/variable_docs.py --check
}
check_site() { "$SITE/bin/python" docs/site/build.py "$CACHE/docs/html" | tee "$LOGS/site.note"; }
check_build() {
  "$TOOLS/bin/ansible-galaxy" collection build --output-path "$DIST" .
  # An execution environment for AWX and ansible-navigator has this tarball.
  mkdir -p dist
  cp "$DIST"/flotilla-swarm-*.tar.gz dist
  "$TOOLS/bin/ansible-builder" create --context "$DIST/context"
  # The lab and the tests stay out of what users install.
  ! tar -tzf "$DIST"/flotilla-swarm-*.tar.gz | grep -E '^(tests|molecule|lab|bench|docs/(site|course)|\.[a-z])'
}
check_importer() {
  local lint=False
  mkdir -p "$DIST/import"
  cd "$DIST/import"
  # Its ansible-lint has the rules of the check of that name, once more: two minutes, which only `make soak` has.
  [ "${FLOTILLA_SOAK:-}" != 1 ] || lint=True
  printf '[galaxy-importer]\nRUN_ANSIBLE_LINT = %s\nRUN_ANSIBLE_TEST = False\n' "$lint" >galaxy-importer.cfg
  export GALAXY_IMPORTER_CONFIG=$PWD/galaxy-importer.cfg PATH=$IMPORTER/bin:$PATH
  python -m galaxy_importer.main "$DIST"/flotilla-swarm-*.tar.gz 2>&1 | tee log
  # Its findings are warnings and errors in the log. The exit code reports only the errors. It gives ansible-lint three minutes,
  # which a busy machine exceeds; the check ansible-lint has the same rules and no such limit.
  ! grep -v 'Timeout on call to ansible-lint' log | grep -E '^(WARNING|ERROR)'
}
check_install() {
  local kind names
  rm -rf "$DIST/installed"
  export ANSIBLE_COLLECTIONS_PATH=$DIST/installed
  "$TOOLS/bin/ansible-galaxy" collection install --offline -p "$DIST/installed" "$DIST"/flotilla-swarm-*.tar.gz
  for kind in module filter lookup role; do
    names=$("$TOOLS/bin/ansible-doc" -t "$kind" --list --json flotilla.swarm |
      "$TOOLS/bin/python" -c 'import json, sys; print(*sorted(json.load(sys.stdin)))')
    echo "$kind: ${names:-none}"
    # shellcheck disable=SC2086  # one word a name
    [ -z "$names" ] || "$TOOLS/bin/ansible-doc" -t "$kind" $names >/dev/null 2>"$DIST/ansible-doc"
    [ ! -s "$DIST/ansible-doc" ] || { cat "$DIST/ansible-doc"; return 1; }
  done
}
check_sanity() {
  local missing
  missing=$(for version in $VERSIONS; do [ -e "$CACHE/pythons/python$version" ] || echo "$version"; done | xargs)
  [ -z "$missing" ] || echo "not on this machine, so not tried: Python $missing" >"$LOGS/sanity.note"
  # A PATH without shims, and without shellcheck, which is a check of its own.
  export HOME=$CACHE/home
  PATH=$CACHE/pythons:$TOOLS/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    ansible-test sanity --local --color no --skip-test shellcheck --skip-test pslint "${TWICE[@]}" \
    >"$LOGS/sanity.full" 2>&1 && return
  # Hundreds of lines about the installation of its tools hide the few that matter.
  grep -vE '^(Running|Installing|Using|Looking|Collecting|Processing|Success| |WARNING: (Loc|Using))' \
    "$LOGS/sanity.full"
  echo "everything it said: .cache/lint-logs/sanity.full"
  return 1
}

# --- run ---------------------------------------------------------------------------------------

run() {
  local check=$1 start=$SECONDS rc
  set +e
  ( set -e; cd "$COPY"; "check_$check" ) >"$LOGS/$check" 2>&1 </dev/null
  rc=$?
  set -e
  echo "$rc $((SECONDS - start))" >"$LOGS/$check.result"
  (
    flock 8
    if [ "$rc" = 0 ]; then
      say "$check: ${WHAT[$check]}: ok, $((SECONDS - start)) s"
    else
      say "$check: ${WHAT[$check]}: FAILED, $((SECONDS - start)) s"
      sed 's/^/    /' "$LOGS/$check"
    fi
    [ ! -e "$LOGS/$check.note" ] || sed 's/^/    /' "$LOGS/$check.note"
  ) 8>"$CACHE/lint-print.lock"
}

wanted() { [ "${#SELECTED[@]}" = 0 ] || [[ " ${SELECTED[*]} " == *" $1 "* ]]; }

fix=
[ "$*" != --fix ] || { fix=1; shift; }
SELECTED=("$@")
for check in "$@"; do
  [ -n "${WHAT[$check]:-}" ] || die "no check named $check; there are: ${CHECKS[*]}"
  # These checks need the tarball.
  case $check in importer | install) SELECTED+=(build) ;; esac
done

mkdir -p "$CACHE"
exec 9>"$CACHE/lint.lock"
flock -n 9 || { say "waiting for another run in this checkout"; flock 9; }
rm -rf "$LOGS"
mkdir -p "$LOGS"
need_python
# The site has tools of its own.
[ "$*" = site ] || venv "$TOOLS" requirements-lint.txt
if [ -n "$fix" ]; then
  "$TOOLS/bin/ruff" check --fix --unsafe-fixes --output-format concise . || true
  "$TOOLS/bin/ruff" format .
  "$TOOLS/bin/python" tests/role_docs.py
  "$TOOLS/bin/python" tests/variable_docs.py
  exit
fi
! wanted importer || venv "$IMPORTER" requirements-importer.txt
! wanted site || venv "$SITE" requirements-docs.txt
copy_tree
export ANSIBLE_COLLECTIONS_PATH=$COLLECTIONS ANSIBLE_HOME=$CACHE/ansible-home PATH=$TOOLS/bin:$PATH
unset ANSIBLE_CONFIG

if wanted sanity; then
  pythons
  test_home
  run sanity &
fi
for check in "${CHECKS[@]}"; do
  if [ "$check" != sanity ] && wanted "$check"; then run "$check"; fi
done
wait

passed=0 failed=0
printf '\n%-14s %-7s %5s\n' check result s
for check in "${CHECKS[@]}"; do
  [ -e "$LOGS/$check.result" ] || continue
  read -r rc seconds <"$LOGS/$check.result"
  if [ "$rc" = 0 ]; then result=ok passed=$((passed + 1)); else result=FAILED failed=$((failed + 1)); fi
  printf '%-14s %-7s %5d\n' "$check" "$result" "$seconds"
done
printf '\nlint: %d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
