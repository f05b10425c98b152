/*
 * elf.c - what the module's file exports, needs and asks the linker for.
 *
 * Runs in a check.  Reads the file as any hostile one: every offset is
 * checked.  Modules that are linked into the program have no file.
 */
#include "config.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/kit/kit.h"

struct image {
	const unsigned char *p;
	size_t n;
	const ElfW(Ehdr) *head;
	const ElfW(Dyn) *dyn;
	size_t n_dyn;
};

/* N octets at OFFSET of the file. */
static const void *
at(const struct image *im, uint64_t offset, uint64_t n)
{
	if (offset > im->n || n > im->n - offset)
		kit_fail("the file is cut short");
	return im->p + offset;
}

static const ElfW(Phdr) *
segment(const struct image *im, uint32_t type)
{
	const ElfW(Phdr) *ph = at(im, im->head->e_phoff,
	    im->head->e_phnum * sizeof(*ph));
	unsigned i;

	for (i = 0; i < im->head->e_phnum; i++)
		if (ph[i].p_type == type)
			return &ph[i];
	return NULL;
}

static void
map(const struct kit *k, struct image *im)
{
	const ElfW(Phdr) *dyn;
	struct stat st;
	int fd;

	if (strchr(k->module, '/') == NULL)
		kit_skip("linked into this program");
	fd = open(k->module, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0)
		kit_fail("%s: %s", k->module, strerror(errno));
	im->n = (size_t)st.st_size;
	im->p = mmap(NULL, im->n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (im->p == MAP_FAILED)
		kit_fail("%s: %s", k->module, strerror(errno));
	close(fd);
	im->head = at(im, 0, sizeof(*im->head));
	if (memcmp(im->head->e_ident, ELFMAG, SELFMAG) != 0 ||
	    im->head->e_type != ET_DYN)
		kit_fail("no ELF shared object");
	dyn = segment(im, PT_DYNAMIC);
	if (dyn == NULL)
		kit_fail("no dynamic section");
	im->dyn = at(im, dyn->p_offset, dyn->p_filesz);
	im->n_dyn = dyn->p_filesz / sizeof(*im->dyn);
}

/* The value of dynamic entry TAG, or 0. */
static uint64_t
dynamic(const struct image *im, int64_t tag, bool *there)
{
	size_t i;

	*there = false;
	for (i = 0; i < im->n_dyn && im->dyn[i].d_tag != DT_NULL; i++)
		if (im->dyn[i].d_tag == tag) {
			*there = true;
			return im->dyn[i].d_un.d_val;
		}
	return 0;
}

static void
linked_well(struct kit *k)
{
	const ElfW(Phdr) *stack;
	uint64_t flags, flags1;
	struct image im;
	bool there, now;

	map(k, &im);
	flags = dynamic(&im, DT_FLAGS, &there);
	flags1 = dynamic(&im, DT_FLAGS_1, &there);
	dynamic(&im, DT_BIND_NOW, &now);
	if (!now && (flags & DF_BIND_NOW) == 0 && (flags1 & DF_1_NOW) == 0)
		kit_fail("symbols are bound late: link with -Wl,-z,now");
	if (segment(&im, PT_GNU_RELRO) == NULL)
		kit_fail("no RELRO: link with -Wl,-z,relro");
	dynamic(&im, DT_TEXTREL, &there);
	if (there || (flags & DF_TEXTREL) != 0)
		kit_fail("relocations in code (TEXTREL): compile with -fPIC");
	stack = segment(&im, PT_GNU_STACK);
	if (stack == NULL || (stack->p_flags & PF_X) != 0)
		kit_fail("the stack would be executable: link with "
		    "-Wl,-z,noexecstack");
}

static const ElfW(Shdr) *
dynsym(const struct image *im)
{
	const ElfW(Shdr) *sh = at(im, im->head->e_shoff,
	    im->head->e_shnum * sizeof(*sh));
	unsigned i;

	for (i = 0; i < im->head->e_shnum; i++)
		if (sh[i].sh_type == SHT_DYNSYM) {
			if (sh[i].sh_link >= im->head->e_shnum)
				break;
			return &sh[i];
		}
	kit_fail("no table of dynamic symbols");
}

static bool
is_defined(const ElfW(Sym) *s)
{
	unsigned bind = s->st_info >> 4;

	return s->st_shndx != SHN_UNDEF && bind != STB_LOCAL &&
	    (s->st_other & 3) != STV_HIDDEN &&
	    (s->st_other & 3) != STV_INTERNAL;
}

/* One symbol and no more, or the module's names meet others' in the worker. */
static void
exports(struct kit *k)
{
	static const char end[] = "_LTX_culver_plugin";
	const ElfW(Shdr) *tab, *str;
	const ElfW(Sym) *sym;
	unsigned found = 0;
	struct image im;
	size_t i, len;

	map(k, &im);
	tab = dynsym(&im);
	str = (const ElfW(Shdr) *)at(&im, im.head->e_shoff,
	    im.head->e_shnum * sizeof(*str)) + tab->sh_link;
	sym = at(&im, tab->sh_offset, tab->sh_size);
	for (i = 0; i < tab->sh_size / sizeof(*sym); i++) {
		const char *name = at(&im, str->sh_offset + sym[i].st_name,
		    1);

		if (!is_defined(&sym[i]) || *name == '\0')
			continue;
		len = strnlen(name, im.n - (size_t)((const unsigned char *)
		    name - im.p));
		if (len < sizeof(end) || memcmp(name + len - sizeof(end) + 1,
		    end, sizeof(end) - 1) != 0)
			kit_fail("it exports %.200s: compile with "
			    "-fvisibility=hidden and export the descriptor "
			    "only", name);
		found++;
	}
	if (found != 1)
		kit_fail("it exports %u descriptors, wanted 1", found);
}

/* Alone with the libraries that it names, every symbol is found. */
static void
resolves(struct kit *k)
{
	if (strchr(k->module, '/') == NULL)
		kit_skip("linked into this program");
#if defined(WITH_SANITIZERS) || !defined(LM_ID_NEWLM)
	kit_skip("this build has its own functions in every namespace");
#else
	if (dlmopen(LM_ID_NEWLM, k->module, RTLD_NOW | RTLD_LOCAL) == NULL)
		kit_fail("%s: link with -Wl,--no-undefined", dlerror());
#endif
}

/* Its constructors, at a place where nobody looks at what they write. */
static void
loads_silently(struct kit *k)
{
	struct plugin_rules rules = { .allow = UINT32_MAX };
	struct stat before, after;
	char err[PLUGIN_ERR];
	struct plugin p;
	char *program;
	int status;
	pid_t pid;

	if (strchr(k->module, '/') == NULL)
		kit_skip("linked into this program");
	program = realpath("/proc/self/exe", NULL);
	if (program == NULL || fstat(1, &before) != 0)
		kit_fail("fstat: %s", strerror(errno));
	/* in a program that has not loaded it yet */
	pid = kit_fork();
	if (pid == 0) {
		execl(program, program, "load", "--module", k->module,
		    (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) != pid && errno == EINTR)
		continue;
	free(program);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		kit_fail("loading it in a fresh process: status 0x%x",
		    (unsigned)status);
	if (fstat(1, &after) != 0 || after.st_size != before.st_size)
		kit_fail("%lld octets were written to standard output or "
		    "error while it was loaded",
		    (long long)(after.st_size - before.st_size));
	if (!plugin_load(k->module, 0, &rules, &p, err))
		kit_fail("loading it again: %s", err);
}

const struct kit_check kit_elf[] = {
	{ "elf", "linked for early binding, RELRO, no TEXTREL", linked_well,
	    10, 0 },
	{ "elf", "exports its descriptor and nothing else", exports, 10, 0 },
	{ "elf", "needs nothing but the libraries it names", resolves, 10, 0 },
	{ "elf", "loads without a word", loads_silently, 30, 0 },
	{ .group = NULL },
};
