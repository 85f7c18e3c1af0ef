# Drey builds and tests with Go and make alone. What else it needs (a control
# plane, a linter) is built from Go modules into the user's cache, once.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
DATE    := $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# The same flags for everything, so that everything shares what was compiled.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false

GENERATE := go tool -modfile=hack/generate/go.mod controller-gen object crd:crdVersions=v1 paths=./registry/kubestore/v1
LINT    := go tool -modfile=hack/lint/go.mod golangci-lint
FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: help build demo run control-plane binaries test test-flink test-install test-replicas test-rest test-unit test-race lint fmt generate bench bench-registry bench-cluster fuzz soak-crash soak-certs soak-replicas manifests image krew clean

help: ## Show what there is to make
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/drey, and bin/kubectl-drey, which is the same
	go build -ldflags '$(LDFLAGS)' -o bin/drey ./cmd/drey
	@ln -sf drey bin/kubectl-drey

ARCH  ?= $(shell go env GOARCH)
IMAGE ?= drey.dev/drey:$(VERSION)

image: ## Build bin/drey-image.tar, an OCI image layout, and its SBOM; the same commit makes the same bytes
	GOOS=linux GOARCH=$(ARCH) go build -ldflags '$(LDFLAGS)' -o bin/drey-linux-$(ARCH) ./cmd/drey
	go run ./hack/image/make -binary bin/drey-linux-$(ARCH) -arch $(ARCH) -name $(IMAGE) -version $(VERSION) -revision '$(COMMIT)' -created '$(DATE)' -out bin/drey-image.tar

KREW_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
KREW_URL ?= https://example.com/drey/$(VERSION)

krew: ## Pack bin/krew: archives of the kubectl plugin, and its manifest; VERSION=v0.1.0 KREW_URL=where they will be
	@for p in $(KREW_PLATFORMS); do echo "Compiling for $$p."; GOOS=$${p%/*} GOARCH=$${p#*/} go build -ldflags '$(LDFLAGS)' -o bin/krew/drey-$${p%/*}-$${p#*/} ./cmd/drey || exit; done
	go run ./hack/krew/make -version $(VERSION) -url $(KREW_URL) $(foreach p,$(KREW_PLATFORMS),$(p)=bin/krew/drey-$(subst /,-,$(p)))

demo: binaries build ## Demonstrate drey on a real control plane, and check the results
	@go build -o bin/demo ./test/demo
	@bin/demo

run: binaries build ## Bring up a control plane with drey on it, and stay until Ctrl-C
	@go build -o bin/demo ./test/demo
	@bin/demo --stay

control-plane: binaries ## Bring up a control plane alone, and stay until Ctrl-C
	@go build -o bin/control-plane ./test/framework/cluster/control-plane
	@bin/control-plane up

binaries: ## Build etcd, Kubernetes and kubectl into the cache (minutes, the first time)
	@echo "Compiling what runs the control plane, if it has changed."
	@go run ./test/framework/cluster/control-plane build >/dev/null

test: binaries ## Run all tests, those on a real control plane included
	go test -timeout 20m $$(go list ./... | grep -v -e /test/e2e/replicas -e /test/e2e/install)
	go test -C test/cel -count=1 .
	go test -C test/e2e/rest -count=1 .

# What these read lies outside of their modules, where go test does not see it change.
test-install: binaries ## Install, upgrade and remove drey, by itself and with Helm; with cert-manager's own controllers, and as a plugin by krew
	go test -timeout 15m ./test/e2e/install
	go test -C test/manifests -count=1 -timeout 15m .
	go test -C test/certmanager -count=1 -timeout 15m .
	go test -C hack/krew/validate -count=1 -timeout 15m .

test-replicas: binaries ## Kill and restart replicas, API server and etcd, and rotate certificates, under clients and pods: minutes
	go test -count=1 -timeout 15m ./test/e2e/replicas

test-rest: ## Run the REST suite, with 20,000 generated requests, against DREY_URL or a new drey
	go test -C test/e2e/rest -count=1 -v . -requests 20000

FLINK_ARGS ?=

test-flink: binaries ## Run real Flink, downloaded by pip, on the control plane: minutes; FLINK_ARGS='-versions all', see docs/flink.md
	go test -C test/flink -count=1 -timeout 2h -v . $(FLINK_ARGS)

test-unit: ## Run the tests that need no control plane: seconds
	go test $$(go list ./... | grep -v -e /test/framework/cluster -e /test/e2e -e /test/framework/kubelet)

test-race: binaries ## Run all tests with the race detector
	CGO_ENABLED=1 go test -race -timeout 20m ./...

lint: ## Check style, find likely defects, and see that what is generated is up to date
	@echo "Compiling the linter, if it has changed: minutes, the first time."
	$(LINT) run --allow-serial-runners ./...
	go test -C hack/generate -count=1 .

fmt: ## Format the code as lint wants it
	$(LINT) fmt ./...

generate: ## Write the custom resource definitions, and copying, from their Go types
	$(GENERATE) output:crd:dir=manifests/crds output:object:dir=registry/kubestore/v1

manifests: ## Write the kustomize base and the chart's generated templates, from package manifests/bundle
	go run ./hack/manifests

bench: binaries build ## Compare drey with a no-op webhook and admission policies
	@go build -o bin/bench ./test/bench
	@bin/bench

bench-registry: binaries build ## Measure the registry at 100,000 targets, compared with etcd and the API server
	@go build -o bin/bench ./test/bench
	@bin/bench registry

bench-cluster: binaries build ## Measure drey with 10 and with 10,000 targets in the cluster
	@go build -o bin/bench ./test/bench
	@bin/bench cluster

fuzz: ## Fuzz every decoder for FUZZTIME each
	go test ./webhook -run '^$$' -fuzz FuzzReview -fuzztime $(FUZZTIME)
	go test ./webhook/flink -run '^$$' -fuzz FuzzFind -fuzztime $(FUZZTIME)
	go test ./cmd/drey/cli -run '^$$' -fuzz FuzzManifests -fuzztime $(FUZZTIME)
	go test ./certs -run '^$$' -fuzz FuzzSecret -fuzztime $(FUZZTIME)
	go test ./registry -run '^$$' -fuzz FuzzLabelValue -fuzztime $(FUZZTIME)
	go test ./registry/kubestore/internal/codec -run '^$$' -fuzz FuzzNumbers -fuzztime $(FUZZTIME)
	go test ./registry/rest -run '^$$' -fuzz FuzzBody -fuzztime $(FUZZTIME)
	go test ./registry/rest/yamljson -run '^$$' -fuzz FuzzJSONSurvives -fuzztime $(FUZZTIME)
	go test ./registry/rest/yamljson -run '^$$' -fuzz FuzzToJSON -fuzztime $(FUZZTIME)

soak-crash: build ## Kill drey 200 times during writes, and check that no acknowledged write is lost
	@go build -o bin/crash ./test/soak/crash
	@bin/crash

soak-certs: binaries ## Rotate CA and certificate every 20 s for 5 minutes under 200 pods a second, with and without cert-manager
	go test -count=1 -timeout 9m -v -run TestCertificateRotation ./test/e2e/replicas -soak 5m
	go test -C test/certmanager -count=1 -timeout 9m -v -run TestCertManagerRotation . -soak 5m

soak-replicas: binaries ## The same for longer: 10 rounds of restarts under 200 pods a second, a minute's outage, two minutes of kills
	go test -count=1 -timeout 20m -v ./test/e2e/replicas -rounds 10 -rate 200 -outage 60s -chaos 2m

clean: ## Remove what was built here; the cache stays
	rm -rf bin .drey
