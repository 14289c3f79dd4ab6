// nghttp2 for Swift: HTTP/2 framing, for gRPC.
#ifndef CNGHTTP2_SHIM_H
#define CNGHTTP2_SHIM_H

#include <nghttp2/nghttp2.h>

#endif
