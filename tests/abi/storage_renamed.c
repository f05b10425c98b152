/*
 * storage_renamed.c - a plugin whose descriptor has another name than its
 * file: both copies of a module that was copied would answer to one name.
 */
#include <culver/plugin.h>
#include <culver/storage.h>

CULVER_PLUGIN(storage_renamed) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .kind = CULVER_KIND_STORAGE,
	.name = "original",
};
