# CloudFlow. `make` alone prints this help.

ADDR ?= 127.0.0.1:8080
DATA ?= ./data
GO   ?= go

# Where `make deploy` deploys to, and how: STAGE=dev AUTH=none is for trying out. More for the CDK in CDK_FLAGS, see docs/aws-deploy.md.
STAGE     ?= prod
AUTH      ?=
CDK_FLAGS ?=
CONTEXT    = -c stage=$(STAGE) $(if $(AUTH),-c auth=$(AUTH)) $(CDK_FLAGS)
LAMBDA_ARCH ?= arm64

LINT := $(GO) tool -modfile=tools/lint/go.mod golangci-lint

# The binary is built without cgo: it needs no C compiler, it is static, and Pebble is faster so.

# State machines with results recorded on AWS, where they lie beside the checkout; without them their test says so and skips.
CORPUS := $(wildcard ../shared/asl-corpus)
export CLOUDFLOW_ASL_CORPUS ?= $(if $(CORPUS),$(abspath $(CORPUS)))

.PHONY: help setup deps-browser deps-prometheus run demo demo-media build test-unit test test-api test-infra test-aws test-long bench bench-asl bench-flow loadtest \
	lambda synth cdk-bootstrap deploy aws-demo destroy local-up local-down check monitoring fmt vet lint generate generated tidy clean

help: ## print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## download the modules and build the development tools (a few minutes, once)
	$(GO) mod download
	CGO_ENABLED=0 $(GO) build ./...
	$(GO) tool -modfile=tools/go.mod oapi-codegen --version
	$(LINT) version

deps-browser: ## install the browser that the tests of the pages use (Debian and Ubuntu; elsewhere it says what to install)
	./tools/deps-browser

deps-prometheus: ## unpack the Prometheus that monitoring/ is checked with (Debian and Ubuntu; elsewhere it says what to install)
	./tools/deps-prometheus

run: ## serve on 127.0.0.1:8080 with demo products, data in ./data (ADDR=, DATA= to change)
	CGO_ENABLED=0 $(GO) run ./cmd/cloudflow serve --demo --addr $(ADDR) --data $(DATA)

demo: ## show the four scenarios, step by step, against a private instance
	CGO_ENABLED=0 $(GO) run ./cmd/cloudflow demo

demo-media: ## make the README's pictures from the real pages, demo/*.png and demo/demo.gif (a minute; needs a browser)
	mkdir -p demo
	CLOUDFLOW_MEDIA=$(CURDIR)/demo $(GO) test -count=1 -timeout 5m -run '^TestTheReadmesPicturesAreMade$$' -v ./internal/browsertest

build: ## build bin/cloudflow
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/cloudflow ./cmd/cloudflow

test-unit: ## the tests that need no server and no disk: seconds
	$(GO) test -short ./...

test: check monitoring test-api test-infra test-aws ## everything that CI runs: formatting, vet, lint, generated files, alert rules, API, stacks, race tests, README commands
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

test-api: ## hold a private instance against its OpenAPI document (half a minute; needs Python 3, else it skips)
	./tools/test-api

test-infra: ## hold what is deployed to AWS against its rules (half a minute; 5 more the first time; needs Node.js, else it skips)
	cd infra && CGO_ENABLED=0 $(GO) vet ./... && CGO_ENABLED=0 $(GO) test -count=1 ./... # go does not see that files outside of the module have changed

test-aws: ## deploy the five stacks to an emulator of AWS and drive them from outside (minutes; needs Python 3 and Node.js, else it skips)
	CLOUDFLOW_TEST_STAGE=1 $(GO) test -count=1 -timeout 20m ./internal/stagetest

test-long: ## the full counts (a quarter of an hour); writes docs/results/test-long.json and test-api.json
	./tools/test-long
	./tools/test-api --long

monitoring: ## check the alert rules, and fire each alert in its unit tests (seconds; needs promtool, else it skips)
	./tools/monitoring

bench: ## the benchmarks behind the README's figures; writes docs/results/bench.txt
	./tools/bench

bench-asl: ## the benchmarks behind the figures in docs/asl.md; writes docs/results/asl.txt
	./tools/bench-asl

bench-flow: ## what the engine does by itself, beside its floor (ten minutes); writes docs/results/flow.txt
	./tools/bench-flow

loadtest: ## the load tests behind docs/performance.md; writes docs/results/loadtest.txt and loadtest.html
	./tools/loadtest

lambda: ## build dist/lambda/bootstrap, the binary of all functions on AWS
	CGO_ENABLED=0 GOOS=linux GOARCH=$(LAMBDA_ARCH) $(GO) build -trimpath -tags lambda.norpc -ldflags '-s -w' -o dist/lambda/bootstrap ./cmd/lambda

synth: lambda ## write the CloudFormation templates to infra/cdk.out (STAGE=, AUTH=none, CDK_FLAGS= to change)
	infra/cdk synth --quiet $(CONTEXT)

cdk-bootstrap: lambda ## prepare the account and region for the CDK, once
	infra/cdk bootstrap $(CONTEXT)

deploy: lambda ## deploy the five stacks to AWS (STAGE=dev AUTH=none to try it out)
	infra/deploy $(CONTEXT)

aws-demo: ## place two sample orders with what was deployed from here last
	infra/demo

local-up: ## the same five stacks on this machine, on an emulator of AWS: prints their URLs (minutes; needs Python 3 and Node.js)
	@./tools/local-aws up

local-down: ## end what local-up started
	@./tools/local-aws down

destroy: lambda ## take a stage's stacks down; its tables, their keys and the signing keys stay
	infra/cdk destroy --all $(CONTEXT)
	@echo 'What stays, and how to adopt it again or delete it: docs/aws-deploy.md'

check: fmt vet lint generated tidy

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	$(LINT) run ./...
	cd infra && CGO_ENABLED=0 $(GO) tool -modfile=../tools/lint/go.mod golangci-lint run ./...

generate: ## generate code again from api/openapi.yaml
	$(GO) generate ./...

generated: # generated code is what its source says
	@$(GO) generate ./... && git diff --exit-code --stat -- '*.gen.go' || { echo "generated code is not current: run 'make generate' and commit"; exit 1; }

tidy:
	@$(GO) mod tidy -diff >/dev/null || { echo "go.mod is not tidy: run 'go mod tidy'"; exit 1; }
	@cd infra && $(GO) mod tidy -diff >/dev/null || { echo "infra/go.mod is not tidy: run 'go mod tidy' there"; exit 1; }

clean: ## remove what was built
	rm -rf bin dist infra/cdk.out
