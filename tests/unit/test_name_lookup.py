"""A library that lacks a private name: what is said of it, name by name."""

from __future__ import annotations

import pytest
from support.hidden_names import fresh, hidden

from grpcsecure.errors import ExitCode, StartupError, UnsupportedLibraryError
from grpcsecure.name_lookup import PrivateNames
from grpcsecure.server.grpcio import _bindings as grpcio
from grpcsecure.tls.openssl import _bindings as openssl

BINDINGS = "grpcsecure.tls.openssl._bindings"
GRPCIO = "grpcsecure.server.grpcio._bindings"

#: A module that looks names up, the part of it that has them, and each of those names.
CASES = [
    (module, part, name)
    for module, part, names in (
        (BINDINGS, "NAMES", openssl.NAMES),
        (GRPCIO, "THREADS", grpcio.THREADS),
        (GRPCIO, "ASYNCIO", grpcio.ASYNCIO),
        (GRPCIO, "SERVICES", grpcio.SERVICES),
    )
    for name in names.looked_up
]


@pytest.mark.parametrize(("module", "part", "name"), CASES)
def test_each_missing_name_is_named(module, part, name):
    """The error has the library, its version, the name and the versions tried."""
    with hidden(name):
        names = getattr(fresh(module), part)
    assert names.missing == [name]
    with pytest.raises(UnsupportedLibraryError) as caught:
        names.require()
    error = caught.value
    assert error.missing == (name,)
    assert error.exit_code is ExitCode.STARTUP
    assert isinstance(error, StartupError)
    for said in (names.library, names.version, f"`{name}`", *names.tried):
        assert said in str(error)
    assert not getattr(fresh(module), part).missing


def test_nothing_is_missing():
    """The installed releases have all names."""
    for names in (openssl.NAMES, grpcio.THREADS, grpcio.ASYNCIO, grpcio.SERVICES):
        assert names.looked_up
        names.require()


def test_function_with_other_arguments_is_missing():
    """It would fail at the first call."""
    names = PrivateNames("it", "1", ("0", "1"))
    assert names.function(PrivateNames, "it", "module", 2) is PrivateNames.module
    assert names.function(PrivateNames, "it", "module", 3) is None
    assert names.missing == ["it.module with 3 arguments"]


def test_class_with_other_arguments_is_missing():
    """There is no object then to look at; what it would have is not listed too."""
    names = PrivateNames("it", "1", ("0", "1"))
    assert names.find(names.example("it.Names", PrivateNames), "it.Names", "x") is None
    assert names.missing == ["it.Names without arguments"]
