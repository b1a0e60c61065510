"""The result of checking a config: what was loaded, and the draft of its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from grpcsecure.diagnostics.findings import Coverage, Report
from grpcsecure.diagnostics.ignore import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grpcsecure.config.document import Document
    from grpcsecure.config.load import Parsed
    from grpcsecure.config.referenced_files import ReferencedFile
    from grpcsecure.config.source import Source
    from grpcsecure.diagnostics.findings import Case, Finding
    from grpcsecure.model.server_config import ServerConfig
    from grpcsecure.server.services.loader import LoadedService
    from grpcsecure.tls.material import Material
    from grpcsecure.tls.pins import Pins
    from grpcsecure.watch.digest import Digest

__all__ = ["Loaded", "Phase", "ServableConfig"]


class Phase(Enum):
    """The phases in their order."""

    YAML = "YAML"
    SCHEMA = "schema"
    CROSS_FIELD = "cross-field"
    FILES = "files"
    SERVICES = "services"
    POLICY_TESTS = "policy tests"


#: The phases that read more than the config, and are worth a word when they ran.
_BEYOND_THE_CONFIG = (Phase.FILES, Phase.SERVICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The result of loading a source: findings, and all that could be loaded.

    `parsed` has its texts, `failed` is the phase that found errors; `document`,
    `materials`, `pins` and `services` are complete only when it is None. `cases` are
    the policy tests that were run. `reloading` is whether it is to replace the config
    of a running server.
    """

    source: Source
    profile: str | None
    parsed: Parsed
    findings: tuple[Finding, ...]
    failed: Phase | None = None
    not_run: tuple[Phase, ...] = ()
    #: The phases that ran, and those that the caller left out.
    done: tuple[Phase, ...] = ()
    left_out: tuple[Phase, ...] = ()
    document: Document | None = None
    materials: Mapping[str, Material] = field(default_factory=dict)
    pins: Pins | None = None
    services: tuple[LoadedService, ...] = ()
    #: Of the files that the config depends on, from just before they were read.
    seen: Digest | None = None
    cases: tuple[Case, ...] = ()
    #: The number of policy tests that need files which were not read.
    tests_left_out: int = 0
    reloading: bool = False

    @property
    def referenced(self) -> tuple[ReferencedFile, ...]:
        """The files that the text of the config refers to, as they were read."""
        return self.parsed.referenced

    @property
    def fingerprints(self) -> dict[str, frozenset[str]]:
        """The registered certificates, by the pattern that names them."""
        return {} if self.pins is None else self.pins.fingerprints

    def servable(self) -> ServableConfig | None:
        """Return what a server needs, or None if a phase failed or did not run."""
        if self.failed is not None or self.not_run or self.left_out:
            return None
        if self.document is None or self.pins is None or self.seen is None:
            return None
        return ServableConfig(
            loaded=self,
            document=self.document,
            materials=self.materials,
            fingerprints=self.fingerprints,
            services=self.services,
            seen=self.seen,
        )

    def draft(self, *, complete: bool = True, all_profiles: bool = False) -> Draft:
        """Return the findings as a draft of a report; see `Draft` for the options."""
        report = Report(
            subject=self.source.name,
            findings=self.findings,
            sources={name: one.text for name, one in self.parsed.sources.items()},
            argument_lines=self.parsed.argument_lines,
            not_run=tuple(phase.value for phase in self.not_run),
            failed=None if self.failed is None else self.failed.value,
            profile=self.profile,
            cases=self.cases,
            coverage=self._coverage(all_profiles=all_profiles),
            is_development=self.document is not None and self.document.is_development,
        )
        return Draft(
            report=report,
            production=self.document is not None and self.document.config.production,
            reloading=self.reloading,
            complete=complete,
            all_profiles=all_profiles,
        )

    def _coverage(self, *, all_profiles: bool) -> Coverage | None:
        """Return what was checked; None after an error."""
        if self.document is None or self.failed is not None:
            return None
        from grpcsecure.config.profiles import profile_names

        names = () if all_profiles else profile_names(self.document.tree)
        authorization = self.document.config.authorization
        return Coverage(
            phases=tuple(one.value for one in self.done if one in _BEYOND_THE_CONFIG),
            left_out=tuple(one.value for one in self.left_out),
            profiles=tuple(name for name in names if name != self.profile),
            tests_left_out=self.tests_left_out,
            values_left_out=self.parsed.unread,
            lacks_tests=authorization is not None and not authorization.tests,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServableConfig:
    """A config that passed every phase, with all that a server needs of it."""

    loaded: Loaded
    document: Document
    materials: Mapping[str, Material]
    #: Fingerprints of registered certificates, by the pattern that names their files.
    fingerprints: Mapping[str, frozenset[str]]
    services: tuple[LoadedService, ...]
    #: Digest of the files that the config depends on, from just before they were read.
    seen: Digest

    @property
    def config(self) -> ServerConfig:
        """The config itself."""
        return self.document.config

    @property
    def source(self) -> Source:
        """The text it was read from."""
        return self.loaded.source
