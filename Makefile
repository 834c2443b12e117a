# Few targets: the scripts hold what they do.
.PHONY: build test bench quickstart update

build: ## bin/topo
	scripts/build

quickstart: ## brings up examples/flask-redis.yaml on this machine
	scripts/quickstart

test: ## all checks and tests; root
	scripts/test

bench: ## times topo beside the fewest messages that do the same, and beside what users would take instead; root
	scripts/bench

update: ## writes all goldens anew: look at the diff
	go test ./examples -run TestPlans -update
