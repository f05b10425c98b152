/*
 * filter.c - is this a search filter, which of its tests name the user, and is
 * what it found that user's?
 *
 * Runs in the config role, where filters are checked, and in a pool process.
 * The text is an administrator's.
 */
#include "config.h"

#include <ctype.h>
#include <string.h>

#include "plugins/auth_ldap/dir.h"

struct reader {
	const char *p, *end;
	struct dir_filter *out;
	const char **why;
	unsigned depth;
	bool negated;
};

static bool filter_read(struct reader *r);

static bool
is(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static void
skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' ||
	    *r->p == '\t'))
		r->p++;
}

static bool
op_add(struct reader *r, unsigned char op)
{
	*r->why = "too many tests with a variable";
	if (r->out->n_ops == DIR_MAX_OPS)
		return false;
	r->out->op[r->out->n_ops++] = op;
	return true;
}

/* The filters behind & or |.  To & those without a test of the name do not
 * matter; to | they all are one. */
static bool
list_read(struct reader *r)
{
	unsigned char op = is(r, '&') ? DIR_OP_AND : DIR_OP_OR;
	bool has_tests = false, has_others = false;

	r->p++;
	for (skip_space(r); is(r, '('); skip_space(r)) {
		unsigned n = r->out->n_ops;

		if (!filter_read(r))
			return false;
		if (r->out->n_ops == n) {
			has_others = true;
			continue;
		}
		if (has_tests && !op_add(r, op))
			return false;
		has_tests = true;
	}
	return op == DIR_OP_AND || !has_tests || !has_others ||
	    (op_add(r, DIR_OP_OPEN) && op_add(r, op));
}

static bool
not_read(struct reader *r)
{
	bool was = r->negated, ok;

	r->p++;
	r->negated = true;
	skip_space(r);
	ok = filter_read(r);
	r->negated = was;
	return ok;
}

/* The value of a test, up to its ). */
static bool
value_read(struct reader *r, struct span *out)
{
	const char *from = r->p;

	for (; r->p < r->end && *r->p != ')'; r->p++) {
		*r->why = "a ( in a value is written \\28";
		if (*r->p == '(')
			return false;
		*r->why = "a \\ in a value goes with two hexadecimal digits: "
		    "\\5c is a \\";
		if (*r->p == '\\' && (r->end - r->p < 3 ||
		    !isxdigit((unsigned char)r->p[1]) ||
		    !isxdigit((unsigned char)r->p[2])))
			return false;
	}
	*out = (struct span){from, (size_t)(r->p - from)};
	return dir_template_check(*out, r->why);
}

/* Remember that ATTR must be equal to VALUE, if it must. */
static bool
test_add(struct reader *r, struct span attr, struct span value)
{
	struct dir_test *t = &r->out->test[r->out->n];
	bool is_name = dir_template_names(value);

	if (r->negated || (!is_name &&
	    (dir_template_vars(value) & 1U << AUTH_VAR_DOMAIN) == 0) ||
	    memchr(value.p, '*', value.n) != NULL ||
	    memchr(value.p, '\\', value.n) != NULL ||
	    memchr(attr.p, ':', attr.n) != NULL)
		return true;
	*r->why = "more than 8 tests with a variable";
	if (r->out->n == DIR_MAX_TESTS)
		return false;
	memcpy(t->attr, attr.p, attr.n);
	t->attr[attr.n] = 0;
	t->value = value;
	t->is_name = is_name;
	return op_add(r, (unsigned char)r->out->n++);
}

/* ATTR=VALUE and its kin. */
static bool
test_read(struct reader *r)
{
	const char *from = r->p;
	struct span attr, value;
	bool is_equal = true;

	while (r->p < r->end && (isalnum((unsigned char)*r->p) ||
	    strchr("-.;:_", *r->p) != NULL) && *r->p != 0)
		r->p++;
	attr = (struct span){from, (size_t)(r->p - from)};
	*r->why = "a test is written (attribute=value), and a variable stands "
	    "in the value";
	if (attr.n == 0 || attr.n > DIR_MAX_NAME)
		return false;
	if (is(r, '~') || is(r, '<') || is(r, '>')) {
		is_equal = false;
		r->p++;
	}
	if (!is(r, '='))
		return false;
	r->p++;
	return value_read(r, &value) &&
	    (!is_equal || test_add(r, attr, value));
}

static bool
filter_read(struct reader *r)
{
	bool ok;

	*r->why = "a filter is written (attribute=value), (&(...)(...)), "
	    "(|(...)(...)) or (!(...))";
	if (!is(r, '('))
		return false;
	*r->why = "more than 16 ( in one another";
	if (r->depth == DIR_MAX_DEPTH)
		return false;
	r->depth++;
	r->p++;
	skip_space(r);
	ok = is(r, '&') || is(r, '|') ? list_read(r) :
	    is(r, '!') ? not_read(r) : test_read(r);
	if (!ok)
		return false;
	skip_space(r);
	r->depth--;
	*r->why = "a ) is missing";
	if (!is(r, ')'))
		return false;
	r->p++;
	return true;
}

bool
dir_filter_parse(struct span text, struct dir_filter *out, const char **why)
{
	struct reader r = {.p = text.p, .end = text.p + text.n, .out = out,
	    .why = why};

	*out = (struct dir_filter){.n = 0, .n_ops = 0};
	if (!filter_read(&r))
		return false;
	*why = "there is more behind the filter";
	return r.p == r.end;
}

/* --- whose entry it is ----------------------------------------------------- */

static enum dir_truth
join(unsigned char op, enum dir_truth a, enum dir_truth b)
{
	enum dir_truth low = a < b ? a : b, high = a < b ? b : a;

	if (op == DIR_OP_OR)
		return high;
	if (a == DIR_OTHER || b == DIR_OTHER)
		return DIR_OTHER;
	return low == DIR_UNREAD ? low : high;
}

enum dir_truth
dir_filter_judge(const struct dir_filter *f,
    const enum dir_truth of[DIR_MAX_TESTS])
{
	enum dir_truth stack[DIR_MAX_OPS];
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_ops; i++) {
		unsigned char op = f->op[i];

		if (op == DIR_OP_OPEN) {
			stack[n++] = DIR_OPEN;
		} else if (op < DIR_MAX_TESTS) {
			stack[n++] = of[op];
		} else if (n > 1) {	/* as it was parsed */
			n--;
			stack[n - 1] = join(op, stack[n - 1], stack[n]);
		}
	}
	return n > 0 ? stack[0] : DIR_OPEN;
}

bool
dir_filter_names(const struct dir_filter *f)
{
	enum dir_truth of[DIR_MAX_TESTS] = {DIR_OPEN};

	for (unsigned i = 0; i < f->n; i++)
		of[i] = f->test[i].is_name ? DIR_SAME : DIR_OPEN;
	return dir_filter_judge(f, of) == DIR_SAME;
}
