// All of this module is in its header; SwiftPM wants one source file.
#include "CLinux.h"
