"""Which mirror to take packages from: the spec's, or else the machine's own."""

from __future__ import annotations

from dataclasses import dataclass

from builder import process
from builder.debian.packages import Request
from builder.errors import CommandError, LockError

# The main archive and the security archive are two trees on most mirrors, side by side.
MAIN = "debian"
SECURITY = "security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Suites into which security fixes go directly.
WITHOUT_SECURITY = frozenset({"sid", "unstable", "experimental"})


@dataclass(frozen=True)
class Target:
    """One index the machine's apt is set up to read: what `apt-get indextargets` says of it."""

    uri: str
    suite: str
    component: str
    origin: str
    signed_by: str


def machine_targets() -> tuple[Target, ...]:
    """The package indexes of the machine's own apt sources."""
    apt = process.find_tool("apt-get", "apt")
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(SIGNED_BY)"
    try:
        listed = process.run([apt, "indextargets", "--format", form, "Identifier: Packages"]).stdout
    except CommandError:
        return ()
    rows = (line.split("|") for line in listed.splitlines())
    return tuple(Target(row[0].rstrip("/"), *row[1:]) for row in rows if len(row) == 5)


def choose_mirrors(request: Request, targets: tuple[Target, ...]) -> dict[str, str]:
    """Mirror name → URL, no slash at its end.  Raises LockError where the machine's own mirror is not Debian's."""
    ours = [target for target in targets if _is_debian(target)]
    main = request.mirror or _first(ours, security=False)
    if main is None:
        raise LockError(
            "this machine's own package mirror is not Debian's, so there is nothing to take the image's packages from",
            hint="name a Debian mirror in netvm.yaml:  platform: {kind: debian, mirror: http://…/debian}",
        )
    mirrors = {MAIN: main.rstrip("/")}
    if request.suite not in WITHOUT_SECURITY:
        beside = f"{mirrors[MAIN]}-security"
        mirrors[SECURITY] = (
            request.security_mirror or (None if request.mirror else _first(ours, security=True)) or beside
        ).rstrip("/")
    return mirrors


def _is_debian(target: Target) -> bool:
    """Whether an index is Debian's main archive.  Before the first `apt-get update` apt knows no origin."""
    if target.component != "main" or not target.uri.startswith(("http://", "https://", "file:/", "copy:/")):
        return False
    if target.origin:
        return target.origin == "Debian"
    return "debian-archive" in target.signed_by or target.uri.endswith(("/debian", "/debian-security"))


def _first(targets: list[Target], *, security: bool) -> str | None:
    return next((target.uri for target in targets if target.suite.endswith("-security") == security), None)
