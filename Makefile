# make demo | test | test-full | chat | status | clean | locks: `make help` has all
SHELL := /bin/bash -euo pipefail
VENV  := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# One clone, one testbed: an operator's own ansible.cfg in the environment must not reach into it.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONPATH := $(CURDIR):$(CURDIR)/collections

.PHONY: help demo test test-full lint tools unit engine distribute el7 molecule integration airgap stacks web report clients security operations inventories pull monitoring chaos chat status clean locks readmes audit-glibc
help: ## What can be made here
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

$(VENV)/.done: files/locks/control.txt
	python3 -m testbed.tools control
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	$(VENV)/bin/uv pip install --quiet --offline --no-deps --python $(VENV)/bin/python --editable .   # the command fleet
	touch $@

demo: $(VENV)/.done ## Three hosts in containers, a real small model through the same roles, and its answer; MONITOR=1 watches them
	python -m testbed.demo $(if $(MONITOR),--monitor)

chat: $(VENV)/.done ## Chat with the demo's model (fastchat.serve.cli on a worker host)
	ssh -t -q -F .testbed/demo/ssh_config gpu01 fastchat-chat --temperature 0

status: $(VENV)/.done ## Is the demo serving?
	ansible-playbook -i inventory/demo playbooks/status.yml

test: lint unit ## What CI runs; each part is a target of its own, the last four run side by side
	$(MAKE) --jobs=2 --output-sync=target integration engine distribute el7

test-full: $(VENV)/.done ## With what is too heavy for every time (13 GB of downloads), and a table; RECORD=docs/VERIFIED.md keeps it
	python -m testbed.suites test molecule airgap stacks security web report clients operations inventories pull monitoring chaos $(if $(RECORD),--record $(RECORD))

lint: $(VENV)/.done
	ruff check .
	ruff format --check .
	yamllint --strict .
	ansible-lint --offline --profile production
	ansible-playbook -i inventory/demo --syntax-check site.yml

tools: $(VENV)/.done
	python -m testbed.tools tests

unit: tools ## Plugins, models, inventories; fetching against a hub that fails on demand and a real git-lfs server
	python -m pytest -n 2 tests/unit

engine: tools ## The conversion, under the hosts' own packages: generated models, damaged files, kills, FastChat's result
	python -m testbed.environment
	.testbed/engine-env/bin/python -m pytest tests/engine

distribute: tools ## A real swarm on loopback addresses: peers that vanish or lie, sources that die
	python -m pytest tests/integration/distribute

molecule: $(VENV)/.done ## The demo's hosts by Molecule alone; make integration verifies the same on its fleet
	molecule --base-config molecule/config.yml test --scenario-name default

el7: $(VENV)/.done ## CentOS 7's identity with rpm and dnf; the guide's stack where Ansible finds Python 2.7
	molecule --base-config molecule/config.yml test --scenario-name rpm
	molecule --base-config molecule/config.yml test --scenario-name py27

integration: $(VENV)/.done ## Killed runs, second run, reboot, refusals, over site.yml
	python -m pytest tests/integration/site

airgap: $(VENV)/.done ## A site without internet access: hosts provisioned from the bundle alone
	python -m pytest tests/integration/airgap
	python -m pytest tests/integration/rpm_bundle

stacks: $(VENV)/.done ## Every other stack on CPU, from bare to answering; interpreters, wheels and FastChat from elsewhere
	for stack in el7-v100-torch26 el7-v100-torch113 v100-torch210 turing-plus; do \
	  STACK=$$stack molecule --base-config molecule/config.yml test --scenario-name stack; done
	python -m pytest tests/integration/runtime

security: tools ## A host outside the fleet scans, asks without a key, replaces keys, attacks; the gateway alone
	python -m pytest tests/integration/security
	python -m pytest tests/integration/gateway

web: $(VENV)/.done ## The chat as a web page: asked as a browser does, through the gateway, without a worker
	python -m pytest tests/integration/web

report: $(VENV)/.done ## The page of a run, in a headless Chromium: nothing loaded, light and dark, narrow and wide
	python -m testbed.tools browser
	python -m pytest tests/integration/report

clients: $(VENV)/.done ## OpenAI's clients (Python 1.x, current, npm), LangChain and schemathesis, through the gateway
	python -m pytest tests/integration/clients

operations: $(VENV)/.done ## An operator's week over one fleet: status, update, a bad canary, rebuild, prune, teardown
	python -m pytest tests/integration/operations

pull: $(VENV)/.done ## A worker that fetches the project from git and runs its own part, with good and bad commits
	python -m pytest tests/integration/pull

monitoring: $(VENV)/.done ## A watched fleet: metrics, each alert fired by its fault and cleared, the dashboard's queries, /status
	python -m testbed.tools browser
	python -m testbed.tools compiler
	python -m pytest tests/integration/monitoring

inventories: $(VENV)/.done ## Hosts as other people's are: IPv6, a proxy, sudo's password, umask 077, German and Chinese, a silent one
	python -m pytest tests/integration/inventories

chaos: $(VENV)/.done ## Faults under load from a real client, and what each costs: docs/CHAOS.md
	python -m testbed.chaos --json docs/chaos.json --table docs/CHAOS.md

audit-glibc: $(VENV)/.done ## Would every library of a stack load on its glibc? STACK=el7-v100-torch26 [GLIBC=2.17]
	python -m testbed.audit.glibc $(STACK) $(if $(GLIBC),--glibc $(GLIBC))

clean: ## Containers, network, image and .venv of this clone; the download cache stays
	python3 -m testbed down
	rm -rf $(VENV) .testbed .ansible

locks: $(VENV)/.done ## Resolve every lock again, with hashes
	python -m testbed.locks

readmes: $(VENV)/.done ## Write roles/*/README.md and docs/VARIABLES.md from the argument specs
	python -m testbed.role_readmes
	python -m testbed.variables
