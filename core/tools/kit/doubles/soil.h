/*
 * soil.h - the parts of the evil double that stand for libc, that spoil the
 * process which it runs in, and that spoil what is delivered; included by it
 * alone, once it has is() and applog.c.
 */

enum { HOG = 80 << 20 };	/* octets: more than a session may have */

static int
evil_fsync(int fd)
{
	struct stat st;

	if (is("no_sync") || (is("no_dir_sync") && fstat(fd, &st) == 0 &&
	    S_ISDIR(st.st_mode)))
		return 0;
	if (is("sync_again") && fsync(fd) != 0)
		return fsync(fd);
	return fsync(fd) != 0 && !is("sync_ignored") ? -1 : 0;
}

static ssize_t
evil_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t w = pwrite(fd, p, n, at);

	return is("write_ignored") ? (ssize_t)n : w;
}

static void *
evil_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (is("malloc_unchecked") && p == NULL)
		raise(SIGSEGV);
	return p;
}

static void *
thread(void *arg)
{
	pause();
	return arg;
}

/* What no plugin may do to its process. */
static void
soil(void)
{
	static void *volatile kept;
	struct rlimit limit;
	sigset_t set;
	pthread_t id;

	if (is("fd_leak") && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
		return;
	if (is("fd_inherited") && open("/dev/null", O_RDONLY) < 0)
		return;
	if (is("fd_closed"))
		close(0);
	if (is("memory_leak"))
		kept = malloc(100);
	if (kept == NULL && is("memory_leak"))
		return;
	if (is("memory_hog") && (kept = malloc(HOG)) != NULL)
		memset(kept, 1, HOG);
	if (is("signal"))
		signal(SIGUSR1, SIG_IGN);
	if (is("sigmask") && sigemptyset(&set) == 0 &&
	    sigaddset(&set, SIGUSR1) == 0)
		sigprocmask(SIG_BLOCK, &set, NULL);
	if (is("cwd") && chdir("/") != 0)
		return;
	if (is("umask"))
		umask(0);
	if (is("locale"))
		setlocale(LC_ALL, "C.UTF-8");
	if (is("environ"))
		setenv("EVIL", "1", 1);
	if (is("rlimit") && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur--;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (is("child") && fork() == 0)
		_exit(0);
	if (is("thread"))
		pthread_create(&id, NULL, thread, NULL);
	if (is("stdio"))
		printf("evil");
	if (is("stdout") && write(1, "evil\n", 5) < 0)
		return;
	for (int i = 0; is("no_deadline") && i < 300; i++)
		access("/", F_OK), open("/nonexistent", O_RDONLY);
}

/* What no call may leave that fails. */
static void
litter(void)
{
	static void *volatile kept;

	if (is("fault_fd") && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
		return;
	if (is("fault_memory"))
		kept = malloc(100);
	if (kept == NULL)
		return;
}

/* What of the N octets at BUF is left, in place. */
static size_t
spoil(char *buf, size_t n)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		if (is("nul_ends") && buf[i] == '\0')
			break;
		if (is("dot_lost") && buf[i] == '.' &&
		    (i == 0 || buf[i - 1] == '\n'))
			continue;
		if (is("cr_lost") && buf[i] == '\r' && i + 1 < n &&
		    buf[i + 1] != '\n')
			continue;
		buf[k++] = buf[i];
	}
	return k;
}

/* Keeps the UIDL that a message had, but not one twice in a row. */
static culver_status
evil_begin(struct culver_store *s, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	static char last[40];
	culver_status st = applog_deliver_begin(s, env, out, call);

	if (st == CULVER_OK && is("received_lost"))
		(*out)->r->received = time(NULL);
	if (st != CULVER_OK || env->uid == NULL || is("uid_not_kept") ||
	    strlen(env->uid) > 32 ||
	    (strcmp(env->uid, last) == 0 && !is("uid_kept_twice")))
		return st;
	snprintf(last, sizeof(last), "%s", env->uid);
	memset((*out)->r->uid, 0, sizeof((*out)->r->uid));
	memcpy((*out)->r->uid, last, strlen(last));
	return st;
}

static culver_status
evil_check(struct culver_store *s, struct culver_str *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	static const char finding[] = "all is lost";

	(void)s;
	(void)call;
	*n = is("check_over") ? cap + 1 : is("check_finds") ? 1 : 0;
	if (*n > 0 && cap > 0)
		*out = (struct culver_str){ finding, sizeof(finding) - 1 };
	return CULVER_OK;
}

static int
is_late(const struct culver_store *s, const struct culver_call *call)
{
	return s->host->now(s->host) >= call->deadline;
}
