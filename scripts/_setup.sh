# Sourced by the scripts beside it: finds a Python, makes .venv (or what VENV says), installs a lock file into it.
# Needs nothing but a shell, git and Python 3.11 to 3.13. Expects the current folder to be the checkout.
# shellcheck shell=bash

VENV=${VENV:-.venv}

# Airflow is many processes: without byte code each of them would compile all of it again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s: %s\n' "$NAME" "$*"; }
fail() {
  printf '%s: %s\n' "$NAME" "$*" >&2
  exit 1
}

is_root_on_debian() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; }

# The package lists are fetched once per call of a script: a fresh container has none.
apt_install() {
  if [ -z "${APT_IS_FRESH:-}" ]; then
    apt-get update -qq >/dev/null 2>&1 || return 1
    APT_IS_FRESH=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

find_python() {
  local candidate
  # A version manager's shim may exist and not work, so each candidate is asked for its version.
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      PYTHON=$candidate
      return
    fi
  done
  fail "needs Python 3.11, 3.12 or 3.13, and found none ($(python3 --version 2>&1 || echo 'no python3 at all'))." \
    "Install one, or name it: PYTHON=/path/to/python3.12 $NAME"
}

make_venv() {
  if "$VENV/bin/python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    return
  fi
  find_python
  say "making $VENV with $("$PYTHON" --version 2>&1)"
  rm -rf "$VENV"
  "$PYTHON" -m venv "$VENV" >/dev/null 2>&1 && return
  # Debian and Ubuntu ship venv's pip in a package of its own.
  rm -rf "$VENV"
  local package
  package="$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  if is_root_on_debian; then
    say "$PYTHON cannot make virtual environments; installing $package"
    apt_install "$package" || apt_install python3-venv || true
    "$PYTHON" -m venv "$VENV" >/dev/null 2>&1 && return
    rm -rf "$VENV"
  fi
  fail "$PYTHON cannot make virtual environments. On Debian or Ubuntu: sudo apt-get install $package"
}

# Prints the lines of one package, with its hashes, from the larger lock.
locked() {
  awk -v package="$1" '
    /^[a-z0-9]/ { inside = (index($0, package "==") == 1) }
    inside && !/^ *#/ { print }
  ' requirements-test.lock | sed '$ s/ *\\$//'
}

install_locked_package() {
  local list
  list=$(mktemp)
  locked "$1" >"$list"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$list"
  local code=$?
  rm -f "$list"
  return $code
}

# uv is an aid, never a need: everything goes on with pip where it can't be had.
install_uv() {
  [ -x "$VENV/bin/uv" ] || install_locked_package uv >/dev/null 2>&1
  [ -x "$VENV/bin/uv" ]
}

install_files() { # install_files OPTION...: into the environment, with uv or pip
  if install_uv; then
    VIRTUAL_ENV="$PWD/$VENV" "$VENV/bin/uv" pip install --quiet "$@"
  else
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}

# install_lock LOCK: brings the environment to what the lock says, and installs this project into it. Does nothing when
# that was done before and neither the lock nor the project's metadata changed.
install_lock() {
  make_venv
  if is_installed requirements-test.lock || is_installed "$1"; then return; fi
  say "installing $1 into $VENV (a minute the first time)"
  install_files --require-hashes -r "$1" ||
    fail "could not install $1: see above. It needs a package index (PyPI or a mirror of it): is there a network?"
  install_files --no-deps --no-build-isolation -e . || fail "could not install this project itself: see above."
  install_stamp "$1" >"$VENV/.installed-$1"
}

# The larger lock holds all of the smaller one.
is_installed() { [ "$(cat "$VENV/.installed-$1" 2>/dev/null)" = "$(install_stamp "$1")" ]; }

install_stamp() {
  printf '%s %s %s' "$(cat "$1" pyproject.toml | cksum)" "$PWD" "$("$VENV/bin/python" --version)"
}
