// libzookeeper for Swift, the single-threaded flavour: without THREADED its header offers no blocking calls.
#ifndef CZOOKEEPER_SHIM_H
#define CZOOKEEPER_SHIM_H

#include <zookeeper/zookeeper.h>

#endif
