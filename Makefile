# make demo | test | chat | status | clean | locks
SHELL := /bin/bash -euo pipefail
VENV  := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# One clone, one testbed: an operator's own ansible.cfg in the environment must not reach into it.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONPATH := $(CURDIR)

.PHONY: help demo test lint unit chat status clean locks
help: ## What can be made here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

$(VENV)/.done: files/locks/control.txt
	python3 -m testbed.tools control
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@

demo: $(VENV)/.done ## Three hosts in containers, a real small model through the same roles, and its answer
	python -m testbed.demo

chat: $(VENV)/.done ## Chat with the demo's model (fastchat.serve.cli on a worker host)
	ssh -t -q -F .testbed/demo/ssh_config gpu01 fastchat-chat

status: $(VENV)/.done ## Is the demo serving?
	ansible-playbook -i inventory/demo playbooks/verify.yml

test: lint unit ## What CI runs: linters, and unit tests of plugins and argument specs

lint: $(VENV)/.done
	ruff check .
	ruff format --check .
	yamllint --strict .
	ansible-lint --offline --profile production
	ansible-playbook -i inventory/demo --syntax-check site.yml

unit: $(VENV)/.done
	python -m pytest tests/unit

clean: ## Containers, network, image and .venv of this clone; the download cache stays
	python3 -m testbed.fleet down demo
	python3 -m testbed.fleet down test
	rm -rf $(VENV) .testbed .ansible

locks: $(VENV)/.done ## Resolve every lock again, with hashes
	python -m testbed.locks
