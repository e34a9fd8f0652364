# flotilla.swarm: everything that is done with this checkout. `make` lists the targets.
#
# A lab's settings are read from the environment or the command line: LAB_PREFIX, LAB_SUBNET, LAB_SUITE,
# LAB_MANAGERS, LAB_WORKERS, LAB_IMAGE (see lab/lab.py). A second lab beside the first:
#   make demo LAB_PREFIX=second LAB_SUBNET=auto LAB_SUITE=trixie

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TOP := $(CURDIR)
export LAB_TOP := $(TOP)
export LAB_PREFIX LAB_SUBNET LAB_KIND LAB_SUITE LAB_MANAGERS LAB_WORKERS LAB_IMAGE LAB_REGISTRY LAB_MIRROR LAB_PULL KEEP V JOBS SEED
export ANSIBLE_CONFIG := $(TOP)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(TOP)/.cache/collections
export PATH := $(TOP)/.venv/bin:$(PATH):/usr/sbin:/sbin

LINK := .cache/collections/ansible_collections/flotilla/swarm
# Shows changes, long tasks, the plan and the verdict, but no unchanged results.
BRIEF := ANSIBLE_CALLBACK_PLUGINS=$(TOP)/lab/callback_plugins ANSIBLE_STDOUT_CALLBACK=lab_brief
# A lab of its own, whose hosts have an engine.
COURSE := LAB_PREFIX=$(or $(LAB_PREFIX),course) LAB_SUBNET=auto LAB_IMAGE=engine
PYTHON := $(or $(wildcard .venv/bin/python),python3)
SAY := @printf '==> %s\n'

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ready ## from nothing to a swarm of five hosts that runs a stack; again to see that nothing changes
	$(SAY) "demo: booting the hosts"
	@python lab/lab.py up
	$(SAY) "demo: playbooks/site.yml makes them a swarm"
	@$(BRIEF) ansible-playbook -i "$$(python lab/lab.py inventory)" playbooks/site.yml
	@python lab/lab.py url

.PHONY: lab
lab: ready ## boot the lab's hosts, and nothing more; what runs is kept
	$(SAY) "lab: booting the hosts"
	@python lab/lab.py up

.PHONY: lab-down
lab-down: ## remove one lab (LAB_PREFIX, default flotilla)
	@$(PYTHON) lab/lab.py down

.PHONY: lab-list
lab-list: ## show the labs on this machine
	@$(PYTHON) lab/lab.py list

.PHONY: test
test: ready ## run all checks, three at a time, or [CHECKS="lint unit cluster"] [JOBS=3] [SEED=n]; V=1 shows all output
	@python tests/all.py $(CHECKS)

.PHONY: soak
soak: ready ## the same with long series: kills, generated cases, every suite and version; hours: [CHECKS=...] [SEED=n]
	@python tests/all.py --soak $(CHECKS)

.PHONY: lint
lint: ## run the static checks
	@lab/prerequisites.sh python
	$(SAY) "lint: tests/lint.sh"
	@PYTHON="$$(lab/prerequisites.sh which-python)" tests/lint.sh

.PHONY: lesson
lesson: ready ## prepare a lab for a lesson of docs/course: N=3
	@$(COURSE) python lab/course.py lesson $(N)

.PHONY: course
course: ready ## do the lessons of docs/course on a lab, and hold what is printed against the text: [N="1 2 get_started"] [KEEP=1]
	@$(COURSE) python lab/course.py run $(N) && code=0 || code=$$?; \
	  [ "$(KEEP)" = 1 ] || $(COURSE) python lab/course.py down; exit $$code

.PHONY: docs
docs: ## build the site of the documentation in .cache/docs/html
	@lab/prerequisites.sh python
	$(SAY) "docs: tests/lint.sh site"
	@PYTHON="$$(lab/prerequisites.sh which-python)" tests/lint.sh site

.PHONY: unit
unit: venv ## run the unit tests
	$(SAY) "unit: pytest tests/unit"
	@python -m pytest -q tests/unit

.PHONY: molecule
molecule: ready ## run one scenario on a fresh lab: SCENARIO=name [LAB_SUITE=trixie] [KEEP=1]
	$(SAY) "molecule: scenario $(SCENARIO)"
	@lab/scenario.sh $(SCENARIO)

.PHONY: bench
bench: ready ## measure speed against the limits, three quarters of an hour: [BENCH=name]
	$(SAY) "bench: one line a figure"
	@python bench/bench.py $(BENCH)

.PHONY: venv
venv: .venv/.ready $(LINK) ## install the pinned Python packages into .venv

.PHONY: engine
engine: venv ## install and start the Docker engine on this machine, if none answers
	@lab/engine.sh up

.PHONY: clean
clean: ## remove every lab of this checkout, its images, and all that make has created
	$(SAY) "clean: labs, images, engine"
	@if docker info > /dev/null 2>&1; then $(PYTHON) lab/lab.py clean; fi
	@lab/engine.sh down
	$(SAY) "clean: .lab .cache .venv and other caches"
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
	@rm -rf .lab .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible tests/output dist .cache .venv
	@rmdir --ignore-fail-on-non-empty ~/.ansible/cp 2> /dev/null || true

# Everything that a lab needs. Each part is quick if it exists.
.PHONY: ready
ready: venv engine
	@lab/prerequisites.sh lab
	@python lab/lab.py check

.venv/.ready: requirements.txt
	$(SAY) "venv: installing the packages of requirements.txt into .venv"
	@lab/prerequisites.sh python
	@test -x .venv/bin/python || "$$(lab/prerequisites.sh which-python)" -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

# The checkout is the collection, so that an edit takes effect at once.
$(LINK):
	@mkdir -p $(@D) && ln -sfn $(TOP) $@
