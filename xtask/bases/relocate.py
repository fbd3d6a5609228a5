"""Turns Debian's Python back into one that lives under /usr/local.

Debian patches two things that depend on where packages go: `site` looks for dist-packages, and
`sysconfig` and `distutils` install there. Run by the relocated interpreter itself, inside the tree.
"""

import pathlib
import re

LIBRARY = pathlib.Path("/usr/local/lib/python3.11")


def rewrite(name, pattern, replacement, flags=0):
    """Replaces what `pattern` matches in one file of the library, exactly once."""
    path = LIBRARY / name
    text, count = re.subn(pattern, replacement, path.read_text(), flags=flags)
    if count != 1:
        raise SystemExit(f"{path}: expected one match of {pattern!r}, found {count}")
    path.write_text(text)


# `site` is frozen into the interpreter: the name is changed there, as long as before, and in the
# source that tracebacks show. Of the three directories that Debian looks at, one exists.
for path in (pathlib.Path("/usr/local/bin/python3.11"), LIBRARY / "site.py"):
    content = path.read_bytes()
    if b"dist-packages" not in content:
        raise SystemExit(f"{path}: Debian's name for site-packages is not in it")
    changed = path.with_suffix(".new")
    changed.write_bytes(content.replace(b"dist-packages", b"site-packages"))
    changed.chmod(path.stat().st_mode)
    changed.rename(path)

rewrite("sysconfig.py", r"'DEB_PYTHON_INSTALL_LAYOUT', 'posix_local'\)", "'DEB_PYTHON_INSTALL_LAYOUT', 'posix_prefix')")
rewrite("sysconfig.py", r"            prefix_scheme = 'posix_local'", "            prefix_scheme = 'posix_prefix'")
# Debian's distutils keeps upstream's directories in a virtual environment: let it be always in one.
for name in ("_distutils_system_mod.py", "distutils/sysconfig.py"):
    rewrite(name, r"(def is_virtual_environment\(\):\n    return) .*", r"\1 True")

# What was written down when Debian compiled it: everything of Python's own under the new prefix.
MOVED = "BINDIR CONFINCLUDEDIR CONFINCLUDEPY DESTLIB DESTSHARED INCLUDEDIR INCLUDEPY LIBDEST LIBPL SCRIPTDIR exec_prefix prefix"
for data in LIBRARY.glob("_sysconfigdata_*.py"):
    text = data.read_text()
    for variable in MOVED.split():
        text = re.sub(rf"('{variable}': ')/usr(?!/local)", r"\1/usr/local", text)
    data.write_text(text)
