import CLibcurl

extension HTTPError {
    /// Reads libcurl's result into what happened and what to do.
    ///
    /// - Parameters:
    ///   - result: libcurl's code
    ///   - detail: libcurl's own sentence, which holds hosts and file names but no header and no query
    ///   - tls: the files that the request named
    static func reading(_ result: CURLcode, detail: String, tls: TLSConfiguration) -> (Code, String) {
        let sentence = withoutUserInformation(detail.isEmpty ? String(cString: curl_easy_strerror(result)) : detail)
        switch result {
        case CURLE_COULDNT_RESOLVE_HOST:
            return (.cannotResolve, "\(sentence): check the name and the DNS server")
        case CURLE_COULDNT_CONNECT:
            return (.cannotConnect, "\(sentence): check the address, and that the server runs")
        case CURLE_COULDNT_RESOLVE_PROXY, CURLE_PROXY:
            return (.proxyFailed, "\(sentence): check the proxy settings")
        case CURLE_OPERATION_TIMEDOUT:
            return (.timedOut, "\(sentence): check the server and the network on the way")
        case CURLE_PARTIAL_FILE:
            return (
                .truncatedBody,
                "the response ended early: \(sentence): check the server and the proxies on the way"
            )
        case CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_SEND_FAIL_REWIND:
            return (
                .connectionReset, "the connection broke: \(sentence): check the server and the proxies on the way"
            )
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR:
            return (
                .untrustedCertificate,
                "\(sentence): give the registry's certificate authority with 'ca' in the agent's file, or in certs.d"
            )
        case CURLE_SSL_CACERT_BADFILE:
            return (
                .untrustedCertificate,
                "cannot read the certificate authorities in \(tls.caFile ?? "the system store"): check the file"
            )
        case CURLE_SSL_CERTPROBLEM:
            return (
                .untrustedCertificate,
                "cannot use the client certificate \(tls.certificateFile ?? "") with key \(tls.keyFile ?? ""): check both files"
            )
        case CURLE_SSL_CONNECT_ERROR:
            // OpenSSL's words for an answer that is not TLS at all.
            let advice =
                sentence.contains("wrong version number")
                ? "if it speaks plain HTTP, write http:// in its URL or name it with --plain-http"
                : "check which TLS versions and certificates the server accepts"
            return (.tlsFailed, "the TLS handshake failed: \(sentence): \(advice)")
        case CURLE_URL_MALFORMAT:
            return (.invalidURL, sentence)
        case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY:
            // The URL's scheme was checked before; with this libcurl refuses what looks like HTTP/0.9.
            return (.other, "the server does not answer with HTTP: \(sentence)")
        default:
            return (.other, sentence)
        }
    }

    /// A sentence about a proxy that it cannot use quotes the proxy's URL, with its password.
    private static func withoutUserInformation(_ sentence: String) -> String {
        guard let at = sentence.lastIndex(of: "@") else { return sentence }
        let quote = sentence[..<at].firstIndex(of: "'").map(sentence.index(after:)) ?? sentence.startIndex
        return "\(sentence[..<quote])…\(sentence[at...])"
    }
}
