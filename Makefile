# Building and testing drey requires only Go and make. Other tools (the control plane, the
# linter, the generator) are built from Go modules into the user's cache.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
NUMBER  := $(VERSION:v%=%)
REPOSITORY ?= drey.dev/drey
DATE    := $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE) -X drey.dev/drey/manifests/bundle.Repository=$(REPOSITORY) -X drey.dev/drey/manifests/bundle.Version=$(NUMBER)

# The same flags for all targets, so that they share the build cache.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false

GENERATE := go tool -modfile=hack/generate/go.mod controller-gen object crd:crdVersions=v1 paths=./registry/kubestore/v1
LINT    := go tool -modfile=hack/lint/go.mod golangci-lint
FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: docs help build try demo run control-plane binaries test test-e2e test-main test-cel test-api test-full test-peers test-clients test-console screenshots test-flink test-gitops test-install test-replicas test-rest test-unit test-versions test-race cover cover-update lint fmt generate bench bench-registry bench-cluster bench-memory bench-peers bench-scale fuzz soak-crash soak-certs soak-replicas manifests image release clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/drey, the link bin/kubectl-drey and its completion
	go build -ldflags '$(LDFLAGS)' -o bin/drey ./cmd/drey
	@ln -sf drey bin/kubectl-drey
	@cp hack/krew/kubectl_complete-drey bin/

ARCH  ?= $(shell go env GOARCH)
IMAGE ?= $(REPOSITORY):$(NUMBER)

image: ## Build bin/drey-image.tar, a reproducible OCI image layout, and its SPDX SBOM
	GOOS=linux GOARCH=$(ARCH) go build -ldflags '$(LDFLAGS)' -o bin/drey-linux-$(ARCH) ./cmd/drey
	go run ./hack/image/make -binary bin/drey-linux-$(ARCH) -arch $(ARCH) -name $(IMAGE) -version $(NUMBER) -revision '$(COMMIT)' -created '$(DATE)' -out bin/drey-image.tar

PLATFORMS  ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
URL        ?= https://example.com/drey/$(VERSION)

release: ## Build dist/, the artifacts of a release; set VERSION=v0.1.0, REPOSITORY of the image and URL of the downloads
	go run ./hack/release/make -version '$(VERSION)' -revision '$(COMMIT)' -created '$(DATE)' -repository '$(REPOSITORY)' -url '$(URL)' -platforms '$(PLATFORMS)' -ldflags '$(LDFLAGS)'

try: ## Show drey's admission without a cluster, and check the results; compiles no Kubernetes
	@echo "Compiling the registry and the webhooks; the first time takes about a minute"
	@go build -o bin/try ./test/try
	@bin/try

demo: binaries build ## Demonstrate drey on a real control plane, and check the results
	@go build -o bin/demo ./test/demo
	@bin/demo

run: binaries build ## Run the demonstration, and keep drey and its console running until Ctrl-C
	@go build -o bin/demo ./test/demo
	@bin/demo --stay

control-plane: binaries ## Run a control plane without drey until Ctrl-C
	@go build -o bin/control-plane ./test/framework/cluster/control-plane
	@bin/control-plane up

binaries: ## Build etcd, Kubernetes and kubectl into the cache; the first build takes minutes
	@echo "Compiling the control plane if it has changed"
	@go run ./test/framework/cluster/control-plane build >/dev/null

# Packages and tests that make test leaves to make test-full. TestSlowTests checks the names.
SLOW_PACKAGES := ./test/clients ./hack/image/... ./test/framework/cluster/... ./test/framework/kubelet ./test/soak/...
SLOW_TESTS    := ^(TestRotationInvariant|TestRESTSlowClients|TestMigration|TestFlavorLifecycle|TestRegistryLoss|TestRandomAdmin|TestRandomSelectors|TestCheckFixtures|TestGatePolicyFixtures|TestCorpus|TestLargePods|TestLargeReviewMemory|TestAlertAndDashboardMetrics|TestLargeFlink|TestConditionsOfLargeObjects|TestConditionCost|TestRemediesOtherReasons|TestLargeUpdates|TestOutputRoundTripRandom|TestDeletionAllowed|TestUpgradeKilled|TestOpenDamagedFiles)$$

test: binaries ## Run the tests of the contributor's loop: unit tests, and drey on a control plane
	@$(MAKE) --no-print-directory -j4 test-e2e test-main test-api test-cel

# The slow tests in test/cel are in SLOW_TESTS: make test-full runs them.
test-cel:
	go test -C test/cel -count=1 -timeout 45m -skip '$(SLOW_TESTS)' .

# make lint vets the packages, and no test needs debug information. Timeouts are for hung tests on a slow
# machine.
TEST_FLAGS := -vet=off -ldflags='-s -w' -timeout 45m -skip '$(SLOW_TESTS)'

# -count=1: the suites build drey, and go test does not track the files of a program.
test-e2e:
	go test $(TEST_FLAGS) -count=1 -p 3 ./test/e2e ./test/e2e/kubectl ./test/e2e/kubestore

MAIN_PACKAGES = $$(go list ./... | grep -v -e /test/e2e -e /test/clients -e /hack/image -e /test/framework/cluster -e /test/framework/kubelet -e /test/soak -e /test/peers)

test-main:
	go test $(TEST_FLAGS) $(MAIN_PACKAGES)

test-api:
	go test -C test/e2e/rest -count=1 -timeout 45m .

test-full: binaries ## Run the slow tests that make test leaves out; takes minutes
	go test -timeout 45m $(SLOW_PACKAGES)
	go test -count=1 -timeout 45m -run '$(SLOW_TESTS)' ./certs ./cmd/drey/server ./registry/boltstore ./test/e2e ./test/e2e/kubectl ./test/e2e/kubestore
	go test -C test/cel -count=1 -timeout 45m -run '$(SLOW_TESTS)' .
	go test -C test/prometheus -count=1 .
	go test -C test/velero -count=1 .

# -count=1: go test does not track files outside the module.
test-install: binaries ## Test installation and upgrade with drey, Helm, cert-manager and krew
	go test -count=1 -timeout 45m ./test/e2e/install ./test/e2e/docs
	go test -C test/manifests -count=1 -timeout 45m .
	go test -C test/certmanager -count=1 -timeout 45m .
	go test -C hack/release/validate -count=1 -timeout 45m .

test-gitops: binaries ## Test sets of targets and workloads with the libraries of Flux and Argo CD
	go test -C test/gitops -count=1 -timeout 45m .

# Kubernetes versions: minor ones, of the modules below test/framework/cluster/bin.
VERSIONS ?= $$(bin/control-plane versions)
# Policies and conditions in CEL, custom resources and installation, which depend on the version.
VERSION_TESTS := ^(TestAdmissionFixtures|TestGatePolicyFixtures|TestForgedLabels|TestSubresourceLabels|TestWorkloadKindsGated|TestOutage|TestObjectsFromKubectl|TestCRDValidation|TestManifestsLeastPrivilege|TestInstallOnPlatforms|TestApplyWithoutWarnings|TestChartMatrix)$$

test-versions: build ## Test the demo, the policies and the installation on the oldest, a middle and the newest Kubernetes; VERSIONS='1.30' for one
	@go build -o bin/demo ./test/demo
	@go build -o bin/control-plane ./test/framework/cluster/control-plane
	@set -e; for version in $(VERSIONS); do \
		echo "Kubernetes $$version: control plane"; \
		KUBEBUILDER_ASSETS=$$(bin/control-plane build --kubernetes $$version); export KUBEBUILDER_ASSETS; \
		echo "Kubernetes $$version: demo"; \
		bin/demo >bin/demo-$$version.log || { cat bin/demo-$$version.log; exit 1; }; \
		for suite in e2e e2e/kubestore e2e/install manifests; do \
			echo "Kubernetes $$version: test/$$suite"; \
			case $$suite in manifests) module=test/manifests package=.;; *) module=. package=./test/$$suite;; esac; \
			go test -C $$module -count=1 -timeout 45m -run '$(VERSION_TESTS)' $$package; \
		done; \
	done

test-replicas: binaries ## Test replicas under load with restarts, crashes and certificate rotation; takes minutes
	go test -count=1 -timeout 45m ./test/e2e/replicas

test-rest: ## Run the REST suite, with 20,000 generated requests, against DREY_URL or a new drey
	go test -C test/e2e/rest -count=1 -v . -requests 20000

CLIENT_LANGUAGES ?= go,python,java

test-clients: binaries ## Play clients of Ververica Platform, and generate clients in CLIENT_LANGUAGES with Maven and pip
	go test -count=1 -timeout 45m -v ./test/clients -generate '$(CLIENT_LANGUAGES)'

FLINK_ARGS ?=

test-flink: binaries ## Test with Flink, downloaded by pip; FLINK_ARGS='-versions all', see docs/explanation/flink.md
	go test -C test/flink -count=1 -timeout 2h -v . $(FLINK_ARGS)

# -p 4: many tests wait for a while, and linking does not. What it leaves out runs in make test-full.
test-unit: ## Run the tests that need no control plane; takes seconds
	go test $(TEST_FLAGS) -p 4 $(MAIN_PACKAGES)

test-peers: binaries ## Check the rows of docs/explanation/comparison.md with Kyverno and Gatekeeper; the first build takes minutes
	go test -count=1 -timeout 1h -v ./test/peers -peers

test-console: ## Test the console in Chromium: every page and action, by keyboard, with axe
	go test -C test/console -count=1 -timeout 45m .

screenshots: ## Make the screenshots of docs/how-to/console.md
	@rm -f docs/images/console-*.png
	go test -C test/console -count=1 -timeout 45m -run TestScreenshots . -screenshots $(CURDIR)/docs/images

# Coverage: unit tests, which are make test-unit without the property tests, then the suites on a control
# plane, with a binary of drey that writes its own. Floors are in hack/cover/floors.txt.
COVER_DIR := $(CURDIR)/.drey/cover
COVER_UNIT = go test -cover -skip '$(SLOW_TESTS)' $$(go list ./... | grep -v -e /test/ -e /hack/image) -args -test.gocoverdir=$(COVER_DIR)/unit
COVER_E2E  = DREY_COVERDIR=$(COVER_DIR)/e2e go test -count=1 -p 4 -timeout 45m -skip '$(SLOW_TESTS)' -coverpkg=drey.dev/drey/... ./cmd/... ./test/e2e ./test/e2e/kubectl ./test/e2e/kubestore -args -test.gocoverdir=$(COVER_DIR)/e2e

$(COVER_DIR): binaries
	@rm -rf $@ && mkdir -p $@/unit $@/e2e
	@$(COVER_UNIT) >$@/unit.txt || true
	@$(COVER_E2E) >$@/e2e.txt || { cat $@/e2e.txt; exit 1; }
	@go tool covdata percent -i=$@/unit,$@/e2e >$@/all.txt

.PHONY: $(COVER_DIR) cover-unit
cover: $(COVER_DIR) ## Print the coverage of unit tests, and of all with those on a control plane; check that none is below its floor
	@go run ./hack/cover -all $(COVER_DIR)/all.txt <$(COVER_DIR)/unit.txt

cover-unit: ## The part of make cover that needs no control plane
	@mkdir -p $(COVER_DIR)/unit
	@$(COVER_UNIT) | go run ./hack/cover

LOWER ?= 0

cover-update: $(COVER_DIR) ## Raise the floors of make cover; LOWER=1 lowers them too
	@go run ./hack/cover -all $(COVER_DIR)/all.txt -update -lower=$(LOWER) <$(COVER_DIR)/unit.txt

test-race: binaries ## Run the tests of the main module with the race detector
	CGO_ENABLED=1 go test -race -timeout 45m ./...

lint: ## Run linters, and check the language, the Markdown and the generated files
	@echo "Compiling the linter if it has changed; the first build takes minutes"
	$(LINT) run --allow-serial-runners ./...
	go test -C hack/lint -count=1 ./language ./markdown
	go run -C hack/lint ./language
	go run -C hack/lint ./markdown
	go test -C hack/generate -count=1 .

fmt: ## Format the code
	$(LINT) fmt ./...

generate: ## Generate the CustomResourceDefinitions and deepcopy functions from the Go types
	$(GENERATE) output:crd:dir=manifests/crds output:object:dir=registry/kubestore/v1

manifests: ## Generate the kustomize base and chart templates from package manifests/bundle
	go run ./hack/manifests

docs: ## Generate the reference pages from the commands, the OpenAPI document, the CRDs, the metrics and the reasons
	go run ./hack/docs

bench: binaries build ## Compare drey with a no-op webhook and admission policies
	@go build -o bin/bench ./test/bench
	@bin/bench

bench-registry: binaries build ## Measure the registry at 100,000 targets, compared with etcd and the API server
	@go build -o bin/bench ./test/bench
	@bin/bench registry

bench-cluster: binaries build ## Benchmark drey with 10 and with 10,000 targets in the cluster
	@go build -o bin/bench ./test/bench
	@bin/bench cluster

bench-memory: binaries build ## Measure the memory of an idle drey with 10, 10,000 and 100,000 targets, in etcd and in the file
	@go build -o bin/bench ./test/bench
	@bin/bench memory

bench-peers: binaries build ## Compare drey with Kyverno and Gatekeeper, and write the result into docs/explanation/comparison.md
	@go build -o bin/bench ./test/bench
	@bin/bench peers -write docs/explanation/comparison.md

bench-scale: binaries build ## Simulate a large cluster, and write docs/explanation/scale.md
	@go build -o bin/bench ./test/bench
	@bin/bench scale -write docs/explanation/scale.md

fuzz: ## Fuzz every decoder for FUZZTIME each
	go test ./webhook -run '^$$' -fuzz FuzzReview -fuzztime $(FUZZTIME)
	go test ./webhook -run '^$$' -fuzz FuzzDecode -fuzztime $(FUZZTIME) -fuzzminimizetime 1x
	go test ./webhook/scan -run '^$$' -fuzz FuzzSkip -fuzztime $(FUZZTIME)
	go test ./webhook/flink -run '^$$' -fuzz FuzzFind -fuzztime $(FUZZTIME)
	go test ./cmd/drey/cli/verdicts -run '^$$' -fuzz FuzzManifests -fuzztime $(FUZZTIME)
	go test ./certs -run '^$$' -fuzz FuzzSecret -fuzztime $(FUZZTIME)
	go test ./registry -run '^$$' -fuzz FuzzLabelValue -fuzztime $(FUZZTIME)
	go test ./registry/kubestore/internal/codec -run '^$$' -fuzz FuzzNumbers -fuzztime $(FUZZTIME)
	go test ./registry/rest -run '^$$' -fuzz FuzzBody -fuzztime $(FUZZTIME)
	go test ./registry/rest/yamljson -run '^$$' -fuzz FuzzRoundTrip -fuzztime $(FUZZTIME)
	go test ./registry/rest/yamljson -run '^$$' -fuzz FuzzToJSON -fuzztime $(FUZZTIME)

soak-crash: build ## Kill drey 200 times during writes, and check that no acknowledged write is lost
	@go build -o bin/crash ./test/soak/crash
	@bin/crash

soak-certs: binaries ## Rotate certificates every 20 s for 5 minutes at 200 pods/s, with and without cert-manager
	go test -count=1 -timeout 9m -v -run TestCertificateRotation ./test/e2e/replicas -soak 5m
	go test -C test/certmanager -count=1 -timeout 9m -v -run TestCertManagerRotation . -soak 5m

soak-replicas: binaries ## test-replicas with 10 rounds at 200 pods/s, a 60 s outage and 2 minutes of crashes
	go test -count=1 -timeout 45m -v ./test/e2e/replicas -rounds 10 -rate 200 -outage 60s -chaos 2m

clean: ## Remove build results; keeps the cache
	rm -rf bin dist .drey
