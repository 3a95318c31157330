# Every target works in a fresh clone with Go alone, but for test/race, which
# needs a C compiler, test/windows, which needs wine, and dash and test/browser, which
# need node. CI runs .ci/run.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The modules of the workspace, the library first.
MODULES  := $(shell go list -m -f '{{.Dir}}')
PACKAGES := $(shell go list -m -f '{{.Path}}/...')
LINT     := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
VULN     := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
SBOM     := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# What a release is built with: no path of this machine, no cgo, and the commit.
RELEASE  := CGO_ENABLED=0 go build -trimpath -buildvcs=true
VULNDB   ?= https://vuln.go.dev
TARGETS  := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
RELEASETARGETS ?= $(TARGETS)
TIMEOUT  ?= 10m
FUZZTIME ?= 10s

# Runs a command in the directory of each module.
each = for dir in $(MODULES); do (cd "$$dir" && $(1)); done

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z\/]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the command into bin/
	go build -o bin/ ./cmd/holdfast

.PHONY: release
release: ## Build the command as a release has it: the same bytes everywhere
	$(RELEASE) -o bin/ ./cmd/holdfast

# Two clones in different directories, the second with an empty build cache: from
# a common one both would take the same objects. Minutes, so it isn't part of CI.
.PHONY: reproducible
reproducible: ## Build the committed state twice and compare
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	cache=$$(go env GOCACHE); \
	for dir in one another/place; do \
		git clone -q . "$$scratch/$$dir"; \
		(cd "$$scratch/$$dir" && GOCACHE=$$cache $(RELEASE) -o holdfast ./cmd/holdfast && sha256sum holdfast); \
		cache=$$scratch/cache; \
	done; \
	cmp "$$scratch/one/holdfast" "$$scratch/another/place/holdfast" && echo "the same bytes"

.PHONY: sbom
sbom: release ## What is compiled into the command, as CycloneDX: bin/holdfast.cdx.json
	$(SBOM) bin -json -output bin/holdfast.cdx.json bin/holdfast

# With the module cache filled it needs no network. The packages' module is outside of the
# workspace. RELEASETARGETS="linux/amd64" is enough to try it; all take minutes.
.PHONY: release-check
release-check: ## Build archives, packages, bills of materials; check them
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	cd packaging && GOWORK=off go run . -out "$$scratch" -targets "$(RELEASETARGETS)" -sbom "$(SBOM)" && ls -l "$$scratch"

# The same, kept, for who publishes it.
.PHONY: dist
dist: ## The files of a release, in dist/
	cd packaging && GOWORK=off go run . -out ../dist -targets "$(RELEASETARGETS)" -sbom "$(SBOM)"

# The database is on the network; VULNDB=file:///DIRECTORY takes a copy.
.PHONY: vuln
vuln: ## Known vulnerabilities that the code can reach, all modules
	@for dir in $(MODULES); do \
		(cd "$$dir" && $(VULN) -db $(VULNDB) ./...) || { \
			echo "$$dir: vulnerable, or not looked at; if $(VULNDB) is out of reach, set VULNDB=file:///DIRECTORY to a copy" >&2; exit 1; }; \
	done

.PHONY: check
check: vet lint arch test ## What a change must pass

.PHONY: vet
vet: ## go vet, all modules
	@$(call each,go vet ./...)

.PHONY: lint
lint: ## golangci-lint as .golangci.yml says, all modules
	@$(call each,$(LINT) run ./...)

.PHONY: fmt
fmt: ## Format as lint wants it
	@$(call each,$(LINT) fmt)

.PHONY: arch
arch: ## The arrows between the rooms, and who may open files
	go test -timeout $(TIMEOUT) -run 'TestArrows|TestOnly|TestPure|TestSeparate|TestTheDashboard|TestWhatAnAdopter|TestRequirements|TestSizes' .

.PHONY: test
test: ## All tests
	go test -timeout $(TIMEOUT) $(PACKAGES)

# Short, because the engine is ten times slower under the detector.
.PHONY: test/race
test/race: ## The library's tests under the race detector
	go test -race -short -timeout $(TIMEOUT) ./...

# Wine is no Windows: its locks are those of its server, not of NTFS. It finds what
# doesn't work there at all. Needs the packages that .ci/wine/test names.
.PHONY: test/windows
test/windows: ## The library's tests for Windows, under wine
	.ci/wine/test -short -timeout $(TIMEOUT) ./...

# Every page of the dashboard in Chromium: a console without errors, axe, 320 px, 200 %,
# numbers that move. SHOTS=docs/dashboard makes the pictures there besides.
.PHONY: test/browser
test/browser: ## The dashboard's pages in Chromium; wants node and chromium
	cd dash/browsertest && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent test -- $(if $(SHOTS),--shots $(abspath $(SHOTS)) --warm 90)

# Short minimizing: shrinking one long input would take up the time of a target.
.PHONY: fuzz
fuzz: ## Fuzz each parser for FUZZTIME
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | while IFS=: read -r file name; do \
		(cd "$$(dirname "$$file")" && go test -timeout $(TIMEOUT) -run '^$$' -fuzz "^$${name#func }\$$" \
			-fuzztime $(FUZZTIME) -fuzzminimizetime 20x . < /dev/null); \
	done

.PHONY: bench
bench: ## Holdfast beside other drivers and set-ups; minutes
	go run ./bench

.PHONY: torture
torture: ## Kill, stop and deceive processes, and compare with a ledger; 3 minutes
	go run ./cmd/holdfast torture --tier quick

# The packages that have such files have a flag for it.
.PHONY: golden
golden: ## Rewrite the files that tests compare with; then look at git diff
	@for dir in $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n 1 dirname | sort -u); do \
		(cd "$$dir" && go test -timeout $(TIMEOUT) . -update); \
	done

# Needs node and npm; who only compiles Holdfast needs neither.
.PHONY: dash
dash: ## Make dash/assets of dash/web, and check its types
	cd dash/web && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent check && npm run --silent build

.PHONY: cross
cross: ## go vet for every platform, without cgo
	@for target in $(TARGETS); do \
		start=$$SECONDS; \
		for module in . replicate cmd/holdfast; do \
			(cd $$module && CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go vet ./...); \
		done; \
		echo "$$target: $$((SECONDS - start)) s"; \
	done

.PHONY: docs
docs: ## Write docs/reference from the code
	go test -timeout $(TIMEOUT) -run 'TestConfigReference$$' . -update
	cd cmd/holdfast && go test -timeout $(TIMEOUT) -run 'TestReference$$' ./internal/daemon -update

# Not "go work sync": it would raise the library's requirements to what the
# other modules have.
.PHONY: tidy
tidy: ## go mod tidy, all modules
	@$(call each,GOWORK=off go mod tidy)
