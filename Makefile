# Everything that is done to this repository, by name.
# `make test` needs Go alone; `make e2e` needs the servers that .ci/run installs.

GO ?= go
FUZZTIME ?= 30s

.PHONY: build test e2e bench fuzz lint golden

build:
	$(GO) build -o bin/todoku ./cmd/todoku

test:
	$(GO) test -race -timeout 40m ./...

# Real servers (unbound, nsd) on loopback, started and stopped by the tests.
e2e:
	$(GO) test -tags e2e -count=1 -run 'TestE2E' -v ./cmd/todoku ./pkg/dkim

# Figures as ratios: against the wire, the plain library call, or a simulated
# round trip.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Every fuzz target for FUZZTIME each.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 2 $$pkg; \
	  done; \
	done

lint:
	@test -z "$$(gofmt -l cmd pkg checks)" || { gofmt -l cmd pkg checks; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...

# Writes goldens and fixtures anew; read the difference before you commit it.
golden:
	$(GO) test ./checks/... ./pkg/render ./pkg/zone -update
	UPDATE=1 $(GO) test ./cmd/todoku -count=1
