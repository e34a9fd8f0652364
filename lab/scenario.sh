#!/usr/bin/env bash
# shellcheck disable=SC2034  # what is set here is for lab.py and molecule
# Runs one Molecule scenario on a fresh lab of its own and removes that lab afterwards, also on failure.
#   scenario.sh NAME [molecule test options]
#
# The settings of the lab of a scenario are in molecule/NAME/lab.env (LAB_IMAGE=bare, LAB_MANAGERS=1, ...);
# the environment takes precedence. KEEP=1 keeps the lab running. CORE=2.16 (or oldest,
# newest) runs the playbooks with that ansible-core, from a virtual environment of tests/cores.sh. Molecule is always that of .venv.
set -eu -o pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH ANSIBLE_CONFIG=$PWD/ansible.cfg ANSIBLE_COLLECTIONS_PATH=$PWD/.cache/collections

if [ -n "${CORE:-}" ]; then
    bin=$(tests/cores.sh path "$CORE")
    PATH=$bin:$PATH CORE=$(basename "$(dirname "$bin")")
    export CORE
    case $(ansible-playbook --version | sed -n 1p) in
        "ansible-playbook [core $CORE"*) ;;
        *) echo "scenario: the ansible-playbook in $bin is not of ansible-core $CORE: remove that folder and try again." >&2 && exit 2 ;;
    esac
fi

name=${1:-}
if [ -z "$name" ] || [ ! -e "molecule/$name/molecule.yml" ]; then
    echo "scenario: ${name:-no name} is not a scenario: choose one of $(find molecule -name lab.env -o -name molecule.yml | cut -d/ -f2 | sort -u | grep -v '^default$' | xargs)." >&2
    exit 2
fi
shift

asked=$(export -p | grep ' LAB_' | grep -v '=""' || true)
set -a
LAB_PREFIX=flotilla-$name
LAB_SUITE=bookworm
LAB_IMAGE=engine
LAB_SUBNET=auto
LAB_REGISTRY=no
LAB_COMPILED=yes
# shellcheck source=/dev/null
[ ! -e "molecule/$name/lab.env" ] || . "molecule/$name/lab.env"
eval "$asked"
LAB_TOP=$PWD
LAB_STATE=$PWD/.lab/$LAB_PREFIX
MOLECULE_EPHEMERAL_DIRECTORY=$PWD/.cache/molecule/$LAB_PREFIX
[ -t 1 ] || export NO_COLOR=1 PY_COLORS=0
set +a

remove() {
    if [ "${KEEP:-}" = 1 ]; then
        echo "==> kept: lab $LAB_PREFIX, inventory .lab/$LAB_PREFIX/inventory; remove it by make lab-down LAB_PREFIX=$LAB_PREFIX"
    else
        python lab/lab.py down
    fi
}

python lab/lab.py image
python lab/lab.py down
trap remove EXIT
# The subnet is chosen and reserved once, so that the next commands find the same lab.
LAB_SUBNET=$(python lab/lab.py subnet)
export LAB_SUBNET
python lab/lab.py inventory > /dev/null
rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"
echo "==> scenario $name on $LAB_SUITE: $(ansible-playbook --version | sed -n 1p), $(python --version)"
started=$SECONDS
molecule test --no-command-borders --destroy=never --scenario-name "$name" "$@"
echo "==> scenario $name on $LAB_SUITE: passed in $((SECONDS - started)) s"
