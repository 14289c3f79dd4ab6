// libzookeeper for Swift, the single-threaded flavour: without THREADED its header offers no blocking calls.
#ifndef CZOOKEEPER_SHIM_H
#define CZOOKEEPER_SHIM_H

#include <zookeeper/zookeeper.h>

// The library's constants are variables, which Swift cannot use freely.
enum { CZK_READ = 2, CZK_WRITE = 1, CZK_EPHEMERAL = 1, CZK_CONNECTED = 3, CZK_SESSION_EVENT = -1 };
enum { CZK_EXPIRED = -112, CZK_AUTH_FAILED = -113, CZK_CONNECTING = 1, CZK_ASSOCIATING = 2 };
enum { CZK_NOT_CONNECTED = 999 };

// Everybody may do everything, or only who has the same credentials.
static inline const struct ACL_vector *czk_acl(int is_owner_only) {
    return is_owner_only ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
}

// Takes all watches of a path back, here and at the server. The header declares a pointer to a function pointer, the library
// calls it as the function.
static inline int czk_remove_watches(
    zhandle_t *handle, const char *path, int is_children, void_completion_t completion, const void *data) {
    return zoo_aremove_all_watches(
        handle, path, is_children ? ZWATCHTYPE_CHILD : ZWATCHTYPE_DATA, 0, (void_completion_t *)completion, data);
}

// The library writes to standard error by default.
static inline void czk_silence(void) { zoo_set_debug_level((ZooLogLevel)0); }

#endif
