# flotilla.swarm: everything that is done with this checkout. `make` lists the targets.
#
# The lab's settings (LAB_PREFIX, LAB_SUBNET, LAB_SUITE, LAB_MANAGERS, LAB_WORKERS, LAB_IMAGE) are read from
# the environment or the command line: make lab LAB_PREFIX=mine LAB_SUBNET=auto LAB_SUITE=trixie

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TOP := $(CURDIR)
export LAB_TOP := $(TOP)
export LAB_PREFIX LAB_SUBNET LAB_SUITE LAB_MANAGERS LAB_WORKERS LAB_IMAGE LAB_REGISTRY LAB_MIRROR LAB_PULL KEEP
export ANSIBLE_CONFIG := $(TOP)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(TOP)/.cache/collections
export ANSIBLE_FORCE_COLOR ?= $(shell test -t 1 && echo 1 || echo 0)
export PATH := $(TOP)/.venv/bin:$(PATH)

LINK := .cache/collections/ansible_collections/flotilla/swarm
PYTHON := .venv/bin/python
SAY := @printf '\033[1m==>\033[0m %s\n'

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: .venv/.ready $(LINK) ## install the pinned Python packages into .venv

.venv/.ready: requirements.txt
	$(SAY) "venv: installing the packages of requirements.txt into .venv"
	@lab/prerequisites.sh python
	@test -x .venv/bin/python || "$$(lab/prerequisites.sh which-python)" -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt 2> >(grep -v 'is ignored: it is neither' >&2)
	@touch $@

# The live tree is the collection: what is edited is what runs.
$(LINK):
	@mkdir -p $(@D) && ln -sfn $(TOP) $@

.PHONY: lab
lab: venv ## boot the lab's hosts (kept if they run)
	$(SAY) "lab: booting the hosts"
	@lab/prerequisites.sh lab
	@$(PYTHON) lab/lab.py up

.PHONY: lab-down
lab-down: ## remove this lab (LAB_PREFIX=...) and nothing else
	@$(or $(wildcard $(PYTHON)),python3) lab/lab.py down

.PHONY: lab-list
lab-list: ## show the labs on this machine
	@$(or $(wildcard $(PYTHON)),python3) lab/lab.py list

.PHONY: molecule
molecule: venv ## run one scenario on a fresh lab of its own: SCENARIO=name, KEEP=1 keeps the lab
	$(SAY) "molecule: scenario $(SCENARIO)"
	@lab/prerequisites.sh lab
	@lab/scenario.sh $(SCENARIO)
