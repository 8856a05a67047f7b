# The targets of CI and of a new developer.

CARGO ?= cargo
TEST_TOOLS = etcd kube-apiserver kube-controller-manager kubectl

.DEFAULT_GOAL := help
.PHONY: help demo dashboard bench test prove schedules fuzz e2e lint compat chart matrix image hot image-check release release-check audit tools crds \
	docs cluster

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch the operator claim, delete, hold and retain connectors, on a real API server
	@hack/tools.sh build $(TEST_TOOLS)
	$(CARGO) build --locked --workspace --bins
	$(CARGO) run --locked --quiet --example demo

dashboard: ## Draw the Grafana dashboard's panels with the data of a real run, into docs/images (needs Prometheus)
	@hack/tools.sh build $(TEST_TOOLS)
	$(CARGO) build --locked --package=apprunner-operator --package=devcluster --bins --example=dashboard
	$(CARGO) run --locked --quiet --example dashboard

bench: ## Measure the operator beside a floor (docs/operations/performance.md); SIZES, LATENCIES, RUNS, OBJECTS and PARTS select less
	@hack/tools.sh build $(TEST_TOOLS)
	@CARGO="$(CARGO)" hack/bench/run

test: ## Run every test: the core, the emulator, the cluster, and the operator on a real API server
	@hack/tools.sh build $(TEST_TOOLS)
	$(CARGO) test --locked --workspace

schedules: ## Run 20 random schedules on a real API server (SEED=n repeats one, SCHEDULES=n), and list 10,000 objects
	@hack/tools.sh build $(TEST_TOOLS)
	$(CARGO) test --locked --test schedules -- --nocapture
	[ -n "$$SEED" ] || $(CARGO) test --locked --test load

fuzz: ## Fuzz each input from outside for SECONDS=60, or one with TARGET=name (needs cargo-fuzz and a nightly toolchain)
	@CARGO="$(CARGO)" TARGET="$(TARGET)" SECONDS_EACH="$(or $(SECONDS),60)" hack/fuzz

# Only the crate itself is optimized: the dependencies are those of `make test`.
prove: ## Run the model checker to a greater depth than `make test` (6 minutes, 5 GB)
	$(CARGO) test --locked --lib --config 'profile.dev.package.apprunner-operator.opt-level=2' \
		core::tests::model -- --include-ignored --nocapture --test-threads 1

# The tests install the chart and the manifests with their default tag, which is the version.
e2e: ## Run the tests that need a node: real pods (as root; with runc, dnsmasq, Prometheus and libfaketime from the distribution)
	@hack/e2e/packages
	@hack/tools.sh build $(TEST_TOOLS) helm node
	@export CARGO="$(CARGO)"; IMAGE_TAG="$$(hack/image/build version)" hack/image/build
	$(CARGO) test --locked --package devcluster --test node
	$(CARGO) test --locked --test clock
	$(CARGO) test --locked --test families
	$(CARGO) test --locked --test e2e

lint: ## Check formatting, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --test node --test e2e --test clock --test families --test chart --test schedules --test load -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@# The fuzz targets are a workspace of their own, with a lock file that a change of dependencies must reach as well.
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null

compat: ## Test the emulator with boto3, the AWS CLI and the SDKs for JavaScript and Go (needs Python, Node.js, Go)
	@CARGO="$(CARGO)" hack/compat/run

chart: ## Check the Helm chart: lint, values, and its installation with Helm on a real API server
	@hack/tools.sh build $(TEST_TOOLS) helm kubeconform
	$(CARGO) test --locked --test chart

matrix: ## Test chart and operator with the oldest and newest Kubernetes and Helm, and write the results into docs/operations (10 minutes)
	@CARGO="$(CARGO)" hack/matrix
	UPDATE_EXPECTED=1 $(CARGO) test --locked --quiet --test docs -- the_tested_versions_are_documented

image: ## Write the images of the operator and the emulator, tagged VERSION-COMMIT, and lists of their crates, into target/image
	@CARGO="$(CARGO)" hack/image/build
	@CARGO="$(CARGO)" hack/image/sbom

hot: ## Find the functions that the operator runs, and write hack/image/hot.ld (needs valgrind; 15 minutes)
	@CARGO="$(CARGO)" hack/image/hot

image-check: ## Build the images from two checkouts, and compare them
	@CARGO="$(CARGO)" hack/release/check target/image hack/image/build

release: ## Write the release VERSION=x.y.z into dist (docs/contributing/releasing.md)
	@CARGO="$(CARGO)" hack/release/build "$(VERSION)"

release-check: ## Write the release VERSION=x.y.z from two checkouts, and compare them
	@CARGO="$(CARGO)" hack/release/check dist hack/release/build "$(VERSION)"

audit: ## Check licences, sources, unused crates, and known vulnerabilities if their database is here (needs cargo-deny and cargo-machete)
	@CARGO="$(CARGO)" hack/audit

tools: ## Build the pinned Kubernetes programs that are missing, into a cache outside the checkout
	@hack/tools.sh build

crds: ## Generate the CustomResourceDefinition and its JSON schema from src/api.rs, and update the chart's copies
	$(CARGO) run --locked --quiet --bin apprunner-operator -- crd > crds/.new
	mv crds/.new crds/apprunner-operator.dev_vpcconnectors.yaml
	$(CARGO) run --locked --quiet --bin apprunner-operator -- crd --schema > crds/.new
	mkdir -p crds/apprunner-operator.dev
	mv crds/.new crds/apprunner-operator.dev/vpcconnector_v1alpha1.json
	cp crds/apprunner-operator.dev_vpcconnectors.yaml charts/apprunner-operator/files/crd.yaml
	cp examples/deletion-protection.yaml charts/apprunner-operator/files/deletion-protection.yaml

docs: ## Generate the parts of docs/ that come from the code: the command line, the resource, the error codes, the pictures
	UPDATE_EXPECTED=1 $(CARGO) test --locked --quiet --lib -- core::tests::documented
	UPDATE_EXPECTED=1 $(CARGO) test --locked --quiet --test docs -- documented committed

cluster: ## Run a Kubernetes API server on loopback until Ctrl-C; prints its kubeconfig
	@hack/tools.sh build $(TEST_TOOLS)
	@$(CARGO) run --locked --quiet --package devcluster -- up
