// Typed inline wrappers over libcurl's variadic calls, which Swift cannot call.
#ifndef ROLLCALL_CLIBCURL_SHIM_H
#define ROLLCALL_CLIBCURL_SHIM_H

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef size_t (*rollcall_data_callback)(char *_Nonnull buffer, size_t size, size_t count, void *_Nullable context);
typedef int (*rollcall_socket_callback)(CURL *_Nullable easy, curl_socket_t fd, int what, void *_Nullable context,
                                        void *_Nullable socket_context);
typedef int (*rollcall_timer_callback)(CURLM *_Nullable multi, long timeout_ms, void *_Nullable context);
typedef int (*rollcall_seek_callback)(void *_Nullable context, curl_off_t offset, int origin);

static inline CURLcode rollcall_setopt_long(CURL *_Nonnull easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode rollcall_setopt_offset(CURL *_Nonnull easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode rollcall_setopt_string(CURL *_Nonnull easy, CURLoption option, const char *_Nullable value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode rollcall_setopt_pointer(CURL *_Nonnull easy, CURLoption option, void *_Nullable value) {
    return curl_easy_setopt(easy, option, value);
}
static inline CURLcode rollcall_setopt_list(CURL *_Nonnull easy, CURLoption option, struct curl_slist *_Nullable list) {
    return curl_easy_setopt(easy, option, list);
}
static inline CURLcode rollcall_setopt_data(CURL *_Nonnull easy, CURLoption option,
                                            rollcall_data_callback _Nullable callback) {
    return curl_easy_setopt(easy, option, callback);
}
static inline CURLcode rollcall_setopt_seek(CURL *_Nonnull easy, rollcall_seek_callback _Nullable callback) {
    return curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, callback);
}

static int rollcall_size_receive_buffer(void *_Nullable bytes, curl_socket_t fd, curlsocktype purpose) {
    int size = (int)(intptr_t)bytes;
    (void)purpose;
    // A socket without it works, too.
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return CURL_SOCKOPT_OK;
}
/// Bounds what the kernel receives ahead of what is read, for a connection that is opened. Before it is connected, since the
/// window that is offered to the peer follows from it (tcp(7), SO_RCVBUF).
static inline CURLcode rollcall_setopt_receive_buffer(CURL *_Nonnull easy, int bytes) {
    CURLcode code = curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, (void *)(intptr_t)bytes);
    if (code != CURLE_OK) return code;
    return curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, rollcall_size_receive_buffer);
}

static inline CURLcode rollcall_getinfo_long(CURL *_Nonnull easy, CURLINFO info, long *_Nonnull value) {
    return curl_easy_getinfo(easy, info, value);
}
static inline CURLcode rollcall_getinfo_offset(CURL *_Nonnull easy, CURLINFO info, curl_off_t *_Nonnull value) {
    return curl_easy_getinfo(easy, info, value);
}
static inline CURLcode rollcall_getinfo_pointer(CURL *_Nonnull easy, CURLINFO info, void *_Nullable *_Nonnull value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLMcode rollcall_multi_setopt_long(CURLM *_Nonnull multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}
static inline CURLMcode rollcall_multi_setopt_pointer(CURLM *_Nonnull multi, CURLMoption option, void *_Nullable value) {
    return curl_multi_setopt(multi, option, value);
}
static inline CURLMcode rollcall_multi_setopt_socket(CURLM *_Nonnull multi, rollcall_socket_callback _Nullable callback) {
    return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, callback);
}
static inline CURLMcode rollcall_multi_setopt_timer(CURLM *_Nonnull multi, rollcall_timer_callback _Nullable callback) {
    return curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, callback);
}

/// Lets the transfers of one thread resume each other's TLS sessions. No lock functions: one thread owns the share.
static inline CURLSHcode rollcall_share_ssl_sessions(CURLSH *_Nonnull share) {
    return curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

// Macros with casts are not imported into Swift.
static inline size_t rollcall_writefunc_pause(void) { return CURL_WRITEFUNC_PAUSE; }
static inline size_t rollcall_readfunc_pause(void) { return CURL_READFUNC_PAUSE; }
static inline size_t rollcall_readfunc_abort(void) { return CURL_READFUNC_ABORT; }
static inline curl_socket_t rollcall_socket_timeout(void) { return CURL_SOCKET_TIMEOUT; }
static inline CURLcode rollcall_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

/// The result and easy handle of a finished transfer; NULL easy handle for any other message.
static inline CURL *_Nullable rollcall_message_done(const CURLMsg *_Nonnull message, CURLcode *_Nonnull result) {
    if (message->msg != CURLMSG_DONE) return NULL;
    *result = message->data.result;
    return message->easy_handle;
}

#endif
