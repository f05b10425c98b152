#!/usr/bin/perl
# users.pl FILE - an auth backend for Culver in Perl, as culver-exec(5) has
# them: checks passwords, and gives the user's data with the same answer.
#
# FILE has a line a user, name:hash:uid:gid:home, with a hash of crypt(3) as
# `culverctl hash` makes them (without the {SCHEME}).  It is read for each
# request, so that a change works at once.
use strict;
use warnings;

my $file = shift or die "usage: users.pl FILE\n";
# What an unknown user's password costs: as much as a usual one.
my $nobody = '$y$j9T$aaaaaaaaaaaaaaaaaaaaaa';

sub encode {
	my ($text) = @_;
	$text =~ s/([^A-Za-z0-9_.\/-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

sub decode {
	my ($text) = @_;
	$text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
	return $text;
}

# In the same time wherever they differ.
sub is_equal {
	my ($x, $y) = @_;
	my $differ = length($x) ^ length($y);
	$differ |= ord(substr $x, $_, 1) ^ ord(substr $y . "\0" x length $x, $_, 1)
	    for 0 .. length($x) - 1;
	return $differ == 0;
}

sub is_right {
	my ($hash, $password) = @_;
	# crypt() would end at a NUL
	my $made = index($password, "\0") < 0 ? crypt($password, $hash) : undef;
	return defined $made && $made !~ /^\*/ && is_equal($made, $hash);
}

# The fields of the user's line; none if there is no such user.
sub find {
	my ($name) = @_;
	open my $in, '<:raw', $file or die "$file: $!\n";
	while (my $line = <$in>) {
		chomp $line;
		my @fields = split /:/, $line, -1;
		return @fields if @fields == 5 && $fields[0] eq $name;
	}
	return;
}

sub answer {
	my ($word, %asked) = @_;
	my ($name, $hash, $uid, $gid, $home) = find($asked{user});
	if ($word eq 'verify') {
		my $right = is_right($hash // $nobody, $asked{password});
		return 'unknown' if !defined $name;
		return 'wrong' if !$right;
		return ('ok', userdb_uid => $uid, userdb_gid => $gid,
		    userdb_home => $home);
	}
	return 'unknown' if !defined $name;
	return ('ok', uid => $uid, gid => $gid, home => $home);
}

binmode STDIN;
binmode STDOUT;
$| = 1;		# an answer must not wait in a buffer
while (my $line = <STDIN>) {
	chomp $line;
	my ($word, @fields) = split /\t/, $line;
	if ($word eq 'hello') {
		print "hello\tversion=1\tcan=verify,user\n";
		next;
	}
	my %asked = map { my ($n, $v) = split /=/, $_, 2; ($n, decode($v)) }
	    @fields;
	my ($status, @given) = eval { answer($word, %asked) };
	if ($@) {
		chomp(my $why = $@);
		($status, @given) = ('temp', error => $why);
	}
	print join("\t", $status, "id=$asked{id}");
	while (my ($n, $v) = splice @given, 0, 2) {
		print "\t$n=", encode($v);
	}
	print "\n";
}
