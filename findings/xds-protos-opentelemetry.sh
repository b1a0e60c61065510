#!/usr/bin/env bash
# Two packages of gRPC's field that install the same modules.
#
# Expected: `pip install` of xds-protos beside opentelemetry-exporter-otlp-proto-grpc lets
# both be imported, or refuses; `pip check` reports packages that do not fit together.
#
# Seen with xds-protos 1.85.0 and opentelemetry-proto 1.45.2 (pip 25.3): xds-protos has its
# own, older copy of opentelemetry/proto/, and the package that is installed last wins. If
# that is xds-protos, the exporter cannot be imported (ImportError: InstrumentationScope).
# pip installs both without a word, `pip check` finds nothing. Installed in one command,
# xds-protos comes last.
#
# Ends with 1 if a release behaves in another way, with 2 if it cannot be tried.
set -euo pipefail

xds=${1:-1.85.0}
otlp=${2:-1.45.2}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv" || exit 2
pip() { "$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
imports() {
    "$folder/venv/bin/python" -c \
        "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter" 2>/dev/null &&
        echo works || echo fails
}

pip install "pip==25.3" || exit 2
pip install "opentelemetry-exporter-otlp-proto-grpc==$otlp" || exit 2
alone=$(imports)
pip install "xds-protos==$xds" || exit 2
beside=$(imports)
pip check && checked=nothing || checked=something
pip install --force-reinstall --no-deps "opentelemetry-proto==$otlp" || exit 2
again=$(imports)
shared=$("$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import files

owned = [{str(file) for file in files(name)} for name in ("xds-protos", "opentelemetry-proto")]
print(len({name for name in set.intersection(*owned) if name.endswith("_pb2.py")}))
PYTHON
)

echo "xds-protos $xds and opentelemetry-proto $otlp have $shared modules in common"
echo "the exporter alone: $alone; with xds-protos: $beside; pip check finds: $checked"
echo "with opentelemetry-proto installed again: $again"
[ "$alone $beside $again $checked" = "works fails works nothing" ] && [ "$shared" -gt 0 ]
