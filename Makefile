# Everything from a fresh clone: `make serve`, `make test`, `make check`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help serve certs test unit coverage oldest newest check docs wheel validate \
	format examples interop interop-tools clean

# Keep compiled modules even if the environment turns that off: the tests start hundreds of
# processes.
unexport PYTHONDONTWRITEBYTECODE

# On all cores. With `worksteal`, one process gets neighbouring tests, which share servers.
PYTEST := pytest -n auto --maxprocesses 8 --dist worksteal

help:
	@echo "make serve    the example server over TLS, with development certificates"
	@echo "make unit     the unit tests, within a minute"
	@echo "make test     all tests but those of make interop, on all cores"
	@echo "make coverage all tests, with branch coverage"
	@echo "make oldest   tests of TLS and serving with the oldest libraries allowed"
	@echo "make newest   the same tests with the newest, release candidates included"
	@echo "make check    ruff (docstrings too), mypy --strict"
	@echo "make docs     docs/ as a site, in build/docs; a dead link is an error"
	@echo "make wheel    the package as a user installs it, tried on every config and page"
	@echo "make interop  the tests with clients that it installs (needs Go, Node, openssl;"
	@echo "              with a JDK and Maven, also grpc-java)"

# One environment, in two steps: to serve, the package alone is enough; tests and checks
# add their tools. Each step runs again when the project file changes.
$(VENV)/.package: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.made: $(VENV)/.package
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable . --group test --group check
	@touch $@

# Development certificates live for 30 days.
certs: $(VENV)/.package
	@if [ ! -e certs/ca.pem ] || [ -n "$$(find certs/ca.pem -mtime +25)" ]; then \
		$(BIN)/grpcsecure -q certs dev certs --force; fi

serve: certs
	@$(BIN)/grpcsecure serve configs/quickstart.yaml \
		--client-command "$(BIN)/python examples/client.py {public} --ca certs/ca.pem"

unit: $(VENV)/.made
	$(BIN)/$(PYTEST) -m "not properties" tests/test_architecture.py tests/test_words.py \
		tests/unit

# Tests with clients that `make interop-tools` installs are those of `make interop`.
# Others with Go or openssl are skipped where these are not installed, or fail with
# `INTEROP=required`.
test: $(VENV)/.made
	$(BIN)/$(PYTEST) -m "not interop"

coverage: $(VENV)/.made
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The lower bounds of pyproject.toml, in an environment of their own.
$(VENV)-oldest/.made: pyproject.toml tests/oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-oldest/bin/pip install --quiet --editable . --group test \
		--constraint tests/oldest.txt
	@touch $@

# Tests that depend on the releases of grpcio, pyOpenSSL and cryptography.
SERVING_TESTS := tests/unit/tls tests/unit/server tests/unit/test_name_lookup.py \
	$(addprefix tests/integration/test_, bridge_*.py crashes.py crl.py drain.py \
		fail_closed.py missing_names.py modes_matrix.py rotation.py serve.py \
		servicer_view.py several_certificates.py)

# Without the tests that compare the properties of a connection with the newest gRPC's.
oldest: $(VENV)-oldest/.made certs
	$(VENV)-oldest/bin/$(PYTEST) $(SERVING_TESTS) \
		--deselect tests/integration/test_bridge_auth_context.py \
		--deselect $(addprefix tests/integration/test_servicer_view.py::, \
			test_key_exchange_group_is_shown_the_same)

# The newest releases within the bounds of pyproject.toml, release candidates included:
# a new environment each time, and not a part of `.ci/run`, since the outcome can change
# without a commit.
newest: certs
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-newest/bin/pip install --quiet --pre --upgrade --upgrade-strategy eager \
		--editable . --group test
	$(VENV)-newest/bin/pip list
	$(VENV)-newest/bin/$(PYTEST) $(SERVING_TESTS)

# Clients that share no code with grpcio, in fixed versions, inside the checkout.
GRPCURL := github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

.tools/bin/grpcurl: Makefile
	GOBIN=$(CURDIR)/.tools/bin go install $(GRPCURL)
	@touch $@

.tools/node/.made: tests/interop/node/package.json tests/interop/node/package-lock.json
	mkdir -p .tools/node
	cp $^ .tools/node/
	cd .tools/node && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.tools/grpc_go.made: tests/interop/grpc_go/go.mod tests/interop/grpc_go/go.sum
	mkdir -p .tools
	cd tests/interop/grpc_go && go mod download
	@touch $@

.tools/k8s_manifests.made: tests/interop/k8s_manifests/go.mod \
		tests/interop/k8s_manifests/go.sum
	mkdir -p .tools
	cd tests/interop/k8s_manifests && go mod download
	@touch $@

# Few machines have a JDK and Maven, or reach its repository: without grpc-java, the tests
# with it are skipped, and a message says so. `SHA256SUMS` pins every file.
GRPC_JAVA := tests/interop/grpc_java
.tools/grpc_java.made: $(GRPC_JAVA)/pom.xml $(GRPC_JAVA)/SHA256SUMS
	rm -rf .tools/grpc_java .tools/grpc_java.new
	@if command -v javac > /dev/null && command -v mvn > /dev/null && \
		mvn --batch-mode --quiet --file $(GRPC_JAVA)/pom.xml \
			dependency:copy-dependencies \
			-DoutputDirectory=$(CURDIR)/.tools/grpc_java.new; then \
		(cd .tools/grpc_java.new && \
			sha256sum --check --strict --quiet ../../$(GRPC_JAVA)/SHA256SUMS) && \
		mv .tools/grpc_java.new .tools/grpc_java && touch $@; \
	else \
		rm -rf .tools/grpc_java.new; \
		echo "interop: without grpc-java, which needs a JDK and Maven" >&2; \
	fi

interop-tools: .tools/bin/grpcurl .tools/node/.made .tools/grpc_go.made \
	.tools/k8s_manifests.made .tools/grpc_java.made

interop: $(VENV)/.made interop-tools
	INTEROP=required $(BIN)/$(PYTEST) -m interop \
		tests/interop tests/integration/test_modes_matrix.py

check: $(VENV)/.made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In a separate environment, which does not need the package.
$(VENV)-docs/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-docs/bin/pip install --quiet --group docs
	@touch $@

docs: $(VENV)-docs/.made
	$(VENV)-docs/bin/mkdocs build --strict --quiet

wheel: $(VENV)/.made
	BIN=$(BIN) .ci/wheel

# Also run by pre-commit.
validate: certs
	$(BIN)/grpcsecure -q validate --all-profiles configs/*.yaml

format: $(VENV)/.made
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Generated with an old grpcio-tools: later versions accept its output.
examples/helloworld/helloworld_pb2.py: examples/helloworld/helloworld.proto
	$(PYTHON) -m venv $(VENV)-protoc
	$(VENV)-protoc/bin/pip install --quiet 'grpcio-tools==1.66.2' 'setuptools<81'
	cd examples && ../$(VENV)-protoc/bin/python -m grpc_tools.protoc -I. \
		--python_out=. --pyi_out=. --grpc_python_out=. helloworld/helloworld.proto

examples: examples/helloworld/helloworld_pb2.py

clean:
	rm -rf $(VENV) $(VENV)-protoc $(VENV)-oldest $(VENV)-newest $(VENV)-docs .tools build dist certs .coverage* .mypy_cache .pytest_cache .ruff_cache
