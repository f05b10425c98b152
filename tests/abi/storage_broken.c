/*
 * storage_broken.c - a module that calls a function that nobody has.
 */
extern int culver_test_nowhere(void);
int storage_broken_LTX_culver_plugin(void);

__attribute__((visibility("default"))) int
storage_broken_LTX_culver_plugin(void)
{
	return culver_test_nowhere();
}
