import FoundationEssentials
import HTTP

extension RegistryError {
    /// The error that a refusing response stands for.
    ///
    /// - Parameters:
    ///   - head: status and header fields
    ///   - body: the body, as far as it was kept
    ///   - url: what was asked
    ///   - unixTime: seconds since 1970, to read a `Retry-After` date
    init(_ head: HTTPResponseHead, body: [UInt8], url: HTTPURL, unixTime: Double) {
        let details = ErrorBody.details(of: body)
        let codes = Set(details.map(\.code))
        let (code, advice): (Code, String) =
            switch head.status {
            case _ where codes.contains("BLOB_UPLOAD_UNKNOWN"), _ where codes.contains("BLOB_UPLOAD_INVALID"):
                (.uploadUnknown, "the upload session is gone or no longer valid: start the upload anew")
            case _ where codes.contains("MANIFEST_BLOB_UNKNOWN") && head.status < 500:
                (.blobUnknown, "the manifest names content that this repository does not hold: push that first")
            case _ where codes.contains("DIGEST_INVALID") && head.status < 500:
                (.digestMismatch, "the registry computed another digest from the bytes it received")
            case 401: (.unauthorized, "not authorised: log in to the registry, or correct its credentials")
            case 403: (.denied, "access denied: the credentials in use do not allow this")
            case 404: (.notFound, "not found: check the name, and that the registry holds it")
            case 405, 501: (.unsupported, "the registry does not support this")
            case 413: (.tooLarge, "too large for this registry: raise its limit, or that of the proxy before it")
            case 416: (.rangeInvalid, "the range was refused")
            case 429:
                (.rateLimited, "too many requests: lower the number of connections, or raise the registry's limit")
            case 408, 500...599: (.unavailable, "the server failed: see its log")
            case 300...399: (.protocolViolation, "unexpected redirect: correct the registry's URL")
            case 400...499: (.protocolViolation, "the request was refused")
            default: (.protocolViolation, "unexpected answer: is this a registry?")
            }
        var message = "HTTP \(head.status): \(advice)"
        if !details.isEmpty {
            let words = details.map { [$0.code, $0.message].filter { !$0.isEmpty }.joined(separator: ": ") }
            message += " (the server says: \(words.joined(separator: "; ")))"
        }
        let retryAfter = head.retryAfter(unixTime: unixTime)
        if let retryAfter, retryAfter > .zero { message += "; it asks to wait \(retryAfter.components.seconds) s" }
        self.init(code, message, url: url.redacted, status: head.status)
        self.details = details
        self.retryAfter = retryAfter
        isTransient = RetryPolicy.isTransient(.status(head.status, retryAfter: nil))
    }
}

/// The bodies of refusals: the specification's JSON, storage XML, proxies' HTML, or anything.
enum ErrorBody {
    /// The most bytes of a refusal that are read.
    static let maximumSize = 64 << 10

    /// The entries of `{"errors":[{code,message,detail}]}`, each part optional and of any type; else the code and
    /// message of storage XML, or the title of a page.
    static func details(of body: [UInt8]) -> [RegistryError.Detail] {
        if let document = try? JSONDecoder().decode(Document.self, from: Data(body)) {
            return document.entries.prefix(8).map { entry in
                let words = [entry.message, entry.detail].filter { !$0.isEmpty }.joined(separator: ", ")
                return RegistryError.Detail(code: clean(entry.code).uppercased(), message: clean(words))
            }
        }
        let text = String(decoding: body, as: UTF8.self)
        let code = element("Code", in: text) ?? ""
        let message = element("Message", in: text) ?? element("title", in: text) ?? ""
        return code.isEmpty && message.isEmpty
            ? [] : [RegistryError.Detail(code: clean(code).uppercased(), message: clean(message))]
    }

    /// One line of at most 300 characters without URL queries, authorization values and tokens.
    static func clean(_ text: String) -> String {
        var words: [String] = []
        var hidesNext = false
        for word in text.prefix(2000).split(whereSeparator: { $0.isWhitespace || $0.isNewline || $0 == "\0" }) {
            if hidesNext {
                words.append("‹secret›")
                hidesNext = false
                continue
            }
            hidesNext = word.equalsIgnoringCase("bearer") || word.equalsIgnoringCase("basic")
            words.append(shorn(word))
        }
        let line = words.joined(separator: " ")
        let visible = String(line.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.map(Character.init))
        return visible.count <= 300 ? visible : visible.prefix(300) + "…"
    }

    /// A word without what may be secret in it: a URL's query and user, the rest of an encoded token.
    private static func shorn(_ word: Substring) -> String {
        if let token = word.firstRange(of: "eyJ") { return word[..<token.lowerBound] + "‹secret›" }
        guard let scheme = word.firstRange(of: "://") else { return String(word) }
        var rest = word[scheme.upperBound...]
        var cut = ""
        if let query = rest.firstIndex(where: { $0 == "?" || $0 == "#" }) {
            rest = rest[..<query]
            cut = "?…"
        }
        if let at = rest.lastIndex(of: "@"), !rest[..<at].contains("/") { rest = rest[rest.index(after: at)...] }
        return word[..<scheme.upperBound] + rest + cut
    }

    private static func element(_ name: String, in text: String) -> String? {
        guard let open = text.firstRange(of: "<\(name)>"),
            let close = text[open.upperBound...].firstRange(of: "</\(name)>")
        else { return nil }
        return String(text[open.upperBound..<close.lowerBound])
    }

    private struct Document: Decodable {
        let entries: [Entry]

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: AnyKey.self)
            if let list = try? container.decode([Entry].self, forKey: AnyKey("errors")) {
                entries = list
            } else {
                // Token servers of OAuth2 say error and error_description; some gateways say message only.
                let text = { (name: String) in try? container.decode(String.self, forKey: AnyKey(name)) }
                entries = [
                    Entry(
                        code: text("error") ?? text("code") ?? "",
                        message: text("error_description") ?? text("message") ?? text("details") ?? "", detail: "")
                ].filter { !$0.code.isEmpty || !$0.message.isEmpty }
            }
        }
    }

    private struct Entry: Decodable {
        let code: String
        let message: String
        let detail: String

        init(code: String, message: String, detail: String) {
            self.code = code
            self.message = message
            self.detail = detail
        }

        init(from decoder: any Decoder) throws {
            // An entry that is no object, such as a plain string, still says something.
            if let text = try? decoder.singleValueContainer().decode(String.self) {
                self.init(code: "", message: text, detail: "")
                return
            }
            guard let container = try? decoder.container(keyedBy: AnyKey.self) else {
                self.init(code: "", message: "", detail: "")
                return
            }
            let text = { (name: String) -> String in
                if let text = try? container.decode(String.self, forKey: AnyKey(name)) { return text }
                if let number = try? container.decode(Int.self, forKey: AnyKey(name)) { return String(number) }
                return ""
            }
            self.init(code: text("code"), message: text("message"), detail: text("detail"))
        }
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { nil }
    }
}
