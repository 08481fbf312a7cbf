# The few commands a newcomer needs. Each target says what it does behind its `##`.

UPDRAFT := target/release/updraft
HELLO := examples/hello
AS_ROOT := scripts/as-root.sh
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help setup build up down destroy test unit lab long bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## install the Debian packages that are missing, saying why
	@scripts/setup.sh

build: ## build the agent and the program into target/release
	cargo xtask build

up: setup build ## bring the hello example up and show it serving
	$(AS_ROOT) $(UPDRAFT) -C $(HELLO) up --yes
	@$(AS_ROOT) scripts/show-hello.sh $(UPDRAFT) $(HELLO)

down: ## stop the machines of the hello example, keeping their disks
	$(AS_ROOT) $(UPDRAFT) -C $(HELLO) down

destroy: ## remove everything the hello example made, except images
	$(AS_ROOT) $(UPDRAFT) -C $(HELLO) destroy --yes

test: ## install what is missing and run every test
	@scripts/test.sh all

unit: ## run the tests that need no root, no network and no guests
	@scripts/test.sh unit

long: ## run the tests that take another half an hour, as root
	@scripts/test.sh long

lab: ## run the tests that need root: namespaces, sshd hosts, guests
	@scripts/test.sh lab

bench: setup build ## compare us with our peers on this machine, side by side
	@scripts/setup.sh test
	@$(AS_ROOT) bench/run.sh
