#ifndef ROLLCALL_CLIBCRYPT_SHIM_H
#define ROLLCALL_CLIBCRYPT_SHIM_H

#include <crypt.h>

#endif
