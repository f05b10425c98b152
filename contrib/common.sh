# shellcheck shell=bash disable=SC2034,SC2154
# common.sh - what contrib/quickstart and contrib/test share: packages, build.
# Sourced by bash with `set -eu`; `top` is the source tree.

die() { # STATUS TEXT...
	local status=$1
	shift
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit "$status"
}

say() {
	printf '%s\n' "$*" >&2
}

# Ask on a terminal; without one, or with --yes, the answer is yes.
confirm() { # TEXT
	local answer
	[ "${yes:-0}" = 0 ] && [ -t 0 ] || return 0
	read -r -p "$1 [Y/n] " answer || return 1
	case $answer in
	''|[Yy]*) return 0 ;;
	*) return 1 ;;
	esac
}

have_package() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Install the Debian packages of the list that are missing.
need_packages() {
	local p missing=() as_root=()
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null
	then
		say "Not a Debian system: these packages, or what holds the same" \
		    "here, must be installed: $*"
		return 0
	fi
	for p; do
		have_package "$p" || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null && as_root=(sudo)
		[ ${#as_root[@]} -gt 0 ] ||
		    die 77 "these packages are missing, and only root can" \
			"install them: apt-get install ${missing[*]}"
	fi
	say "Debian packages that are missing: ${missing[*]}"
	confirm "Install them with apt-get?" ||
	    die 77 "without these packages it cannot go on"
	as_root+=(env DEBIAN_FRONTEND=noninteractive)
	"${as_root[@]}" apt-get update -q >/dev/null ||
	    die 69 "apt-get update failed"
	[ "${no_services:-0}" = 0 ] || hold_services "${as_root[@]}"
	"${as_root[@]}" apt-get install -q -y --no-install-recommends \
	    "${missing[@]}" >/dev/null ||
	    die 69 "apt-get could not install: ${missing[*]}"
	[ "${no_services:-0}" = 0 ] || release_services "${as_root[@]}"
}

# Let no package that is installed start a service, until release_services or
# the end of the script.  Arguments: what makes a command one of root's.
policy=/usr/sbin/policy-rc.d held=0
hold_services() {
	[ ! -e "$policy" ] || return 0
	# shellcheck disable=SC2064
	trap "release_services $*" EXIT
	held=1
	printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null &&
	    "$@" chmod 755 "$policy"
}
release_services() {
	[ "$held" = 1 ] || return 0
	held=0
	"$@" rm -f "$policy"
}

# Unpack the Debian package $1 below the folder $2, and install nothing.
unpack_package() {
	[ ! -e "$2/$1.unpacked" ] || return 0
	mkdir -p "$2" && rm -f "$2/$1"_*.deb &&
	    (cd "$2" && apt-get download -q "$1" >/dev/null 2>&1) &&
	    dpkg -x "$2/$1"_*.deb "$2" && touch "$2/$1.unpacked"
}

# What a build needs.
build_packages=(gcc libc6-dev make autoconf automake libtool pkg-config
    libltdl-dev libssl-dev libseccomp-dev libcrypt-dev libsqlite3-dev
    libpam0g-dev libargon2-dev)

# Configure (once) and build in the folder $1; further words are configure's.
build_in() {
	local dir=$1 log
	shift
	mkdir -p "$dir" || die 73 "cannot build in $dir"
	log=$dir/quickstart-build.log
	if [ ! -w "$dir" ] || { [ -e "$log" ] && [ ! -w "$log" ]; }; then
		die 73 "$dir belongs to somebody else, who built there:" \
		    "use a checkout of your own"
	fi
	if ! {
		{ [ -x "$top/configure" ] && [ -e "$top/Makefile.in" ]; } ||
		    (cd "$top" && autoreconf -i)
		[ -e "$dir/Makefile" ] ||
		    (cd "$dir" && "$top/configure" --prefix=/usr/local "$@")
		make -C "$dir" -j"$(nproc)"
	} >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		die 70 "the build failed; all it said is in $log"
	fi
}
