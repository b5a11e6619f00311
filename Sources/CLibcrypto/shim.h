#ifndef ROLLCALL_CLIBCRYPTO_SHIM_H
#define ROLLCALL_CLIBCRYPTO_SHIM_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#endif
