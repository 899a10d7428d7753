# Sourced by the other scripts: makes .venv at the versions of requirements.lock. POSIX sh.
#
#   environment EXTRAS     sets up .venv with hepflow[EXTRAS]; quick when nothing has changed
#   system_package NAME... installs Debian packages where that is possible; never fails
#   project_python ROOT    prints .venv's interpreter, or another that is new enough
#
# HEPFLOW_VENV chooses another folder than .venv, PYTHON another interpreter than the first of
# python3.11, python3.12, python3.13, python3 that is new enough.

LOCK=requirements.lock
VENV=${HEPFLOW_VENV:-.venv}

say() { printf '%s\n' "hepflow: $*" >&2; }

fail() {
    say "$@"
    exit 1
}

as_root() { [ "$(id -u)" = 0 ]; }

system_package() {
    as_root && command -v apt-get >/dev/null 2>&1 || return 0
    say "installing Debian's $*"
    apt="apt-get install -qq -y --no-install-recommends"
    DEBIAN_FRONTEND=noninteractive $apt "$@" >/dev/null 2>&1 && return 0
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $apt "$@"; } >/dev/null 2>&1 ||
        say "could not install $*; going on"
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    fail "needs Python 3.11 or newer; set PYTHON to one (Debian: apt-get install python3-venv)"
}

project_python() {
    if [ -x "$1/$VENV/bin/python" ]; then
        echo "$1/$VENV/bin/python"
    else
        find_python
    fi
}

# pip out of Debian's archive without being root: apt-get with lists and cache of its own, and the
# wheel inside the package unpacked. Leaves `$1/pip.whl`.
fetch_pip() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    say "fetching pip from Debian's archive, as no installer of Python packages is here"
    mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
    apt="apt-get -qq -o Dir::State::Lists=$1/lists -o Dir::Cache=$1/cache -o Debug::NoLocking=1"
    $apt update >/dev/null 2>&1 || return 1
    (cd "$1" && $apt download python3-pip-whl >/dev/null 2>&1) || return 1
    dpkg-deb -x "$1"/python3-pip-whl_*.deb "$1/unpacked" || return 1
    mv "$1"/unpacked/usr/share/python-wheels/pip-*.whl "$1/pip.whl"
}

# Debian splits venv's installer of pip off into python3-venv, so there are five ways to a
# virtual environment with pip in it, the ordinary one first.
make_venv() {
    python=$1
    rm -rf "$VENV"
    "$python" -m venv "$VENV" >/dev/null 2>&1 && return 0
    if as_root; then
        system_package python3-venv
        "$python" -m venv --clear "$VENV" >/dev/null 2>&1 && return 0
    fi
    rm -rf "$VENV"
    if "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv -q "$VENV" && return 0
    fi
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$VENV" &&
            "$python" -m pip --python "$VENV/bin/python" install -qq pip && return 0
    fi
    fetched=$(mktemp -d)
    if fetch_pip "$fetched" && "$python" -m venv --without-pip --clear "$VENV"; then
        "$VENV/bin/python" "$fetched/pip.whl/pip" install -qq --ignore-installed pip && made=yes
    fi
    rm -rf "$fetched"
    [ "${made:-}" = yes ] && return 0
    rm -rf "$VENV"
    fail "cannot make a virtual environment: $python has neither ensurepip, virtualenv nor pip." \
        "Ask the administrator for: apt-get install python3-venv"
}

# What the environment was made from; another interpreter, lock or pyproject makes another stamp.
# The folder is part of it: an editable installation and console scripts hold its path.
stamp_of() {
    { pwd && "$1" -V && cat "$LOCK" pyproject.toml; } | sha256sum | cut -c1-16
}

environment() {
    extras=$1
    python=$(find_python) || exit 1
    stamp=$(stamp_of "$python")
    if [ "$(cat "$VENV/hepflow-made-from" 2>/dev/null)" != "$stamp" ]; then
        say "making $VENV with $python"
        make_venv "$python"
        printf '%s\n' "$stamp" >"$VENV/hepflow-made-from"
    fi
    marker="$VENV/hepflow-has-$(printf %s "$extras" | tr , -)"
    [ -e "$marker" ] || install_extras "$extras" "$marker"
    # Where PYTHONDONTWRITEBYTECODE is set, every start would compile every module anew.
    "$VENV/bin/python" -m compileall -q hepflow workflows adapters || :
}

install_extras() {
    say "installing hepflow[$1] (minutes the first time, then kept)"
    pip="$VENV/bin/python -m pip --disable-pip-version-check"
    # Without build isolation, so that the build backends too have the lock's versions: hepflow's own, and
    # setuptools for what comes as source only, as the one that venv brings may want wheel beside it.
    $pip install -qq -c "$LOCK" --upgrade hatchling editables setuptools &&
        $pip install -qq -c "$LOCK" --no-build-isolation -e ".[$1]" ||
        fail "the installation failed; see above"
    : >"$2"
}
