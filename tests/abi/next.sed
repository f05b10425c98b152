# Today's public headers as the next minor could look: members appended, bits
# added, nothing else.  The tests build plugins and a host with the result.
s/^#define CULVER_ABI_MINOR.*/#define CULVER_ABI_MINOR 1/
s/^	CULVER_ST_DOTLOCK = 1u << 8/	CULVER_ST_NOVELTY = 1u << 9, CULVER_ST_DOTLOCK = 1u << 8/
/^	culver_status (\*check)/,/;$/{
/;$/a\
	culver_status (*novelty)(struct culver_store *store);
}
/^	const char \*help;/a\
	const char *since;
/^	uint64_t wants;/a\
	const char *license;
/^	culver_status (\*dotlock)/,/;$/{
/;$/a\
	int (*trace)(const struct culver_host *host, int depth);
}
