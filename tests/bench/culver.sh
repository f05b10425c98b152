# culver.sh - Culver as a peer of a side-by-side benchmark: sourced by its
# runner, which calls peer_setup ROOT once and peer_start ROOT PORT (TLS on
# PORT+1) in the peer's cgroup, as root.  Users are those of ROOT/etc/passwd
# from uid 21000 on, whose password is "pw".  Culver runs from below ROOT but
# not in a chroot: an installed tree may be anywhere.
# CULVER_BUILD is a build directory configured with --prefix=/usr and release
# flags; CULVER_STORE is maildir (default) or mbox.
# shellcheck shell=bash disable=SC2034
peer_port=21070
peer_store=${CULVER_STORE:-maildir}

peer_setup() {
	local r=$1 storage
	make -C "${CULVER_BUILD:?}" -s install DESTDIR="$r" >/dev/null || return
	mkdir -p "$r/etc/culver" "$r/var/lib/culver" "$r/run/culver"
	case $peer_store in
	maildir) storage='storage maildir { path = "~/Maildir" }' ;;
	mbox) storage="storage mbox { path = \"$r/var/mail/%{user}\"
	    index_dir = \"~\" }" ;;
	esac
	awk -F: -v root="$r" \
	    -v sha="$(perl -e 'print crypt("pw", q($6$saltsalt$))')" '
	    $3 >= 21000 && $3 < 21700 {
		hash = $1 == "usha" ? "{SHA512-CRYPT}" sha : "{PLAIN}pw"
		print $1 ":" hash ":" $3 ":" $4 "::" root $6 "::" }' \
	    "$r/etc/passwd" >"$r/etc/culver/users"
	chown 60002 "$r/etc/culver/users"
	chmod 600 "$r/etc/culver/users"
	cat >"$r/etc/culver/culver.conf.in" <<-CONF
		hostname = "localhost"
		run_dir = "$r/run/culver"
		state_dir = "$r/var/lib/culver"
		log = "$r/var/log/culver.log"
		listen pop3  { address = {"127.0.0.1:@PLAIN@"} }
		listen pop3s { address = {"127.0.0.1:@TLS@"}  tls = implicit }
		tls {
			certificate = "$r/etc/ssl/pop.crt"
			key = "$r/etc/ssl/pop.key"
		}
		auth passwdfile { path = "$r/etc/culver/users" }
		$storage
		limits { connections_per_ip = 20000 }
	CONF
}

peer_start() {
	sed "s/@PLAIN@/$2/; s/@TLS@/$(($2 + 1))/" \
	    "$1/etc/culver/culver.conf.in" >"$1/etc/culver/culver.conf"
	exec setsid "$1/usr/sbin/culverd" -F -c "$1/etc/culver/culver.conf" \
	    -u gate=60001 -u auth=60002 -u config=60003 -u log=60004
}
