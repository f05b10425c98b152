/*
 * soil.h - the part of the evil double that spoils the process which it runs
 * in; included by it alone, once it has is() and applog.c.
 */

enum { HOG = 80 << 20 };	/* octets: more than a session may have */

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
	if (is("stdout") && write(1, "evil\n", 5) < 0)
		return;
	for (int i = 0; is("no_deadline") && i < 300; i++)
		access("/", F_OK), open("/nonexistent", O_RDONLY);
}
