"""Why a call is allowed or denied, and who may call what: data, then renderers."""
