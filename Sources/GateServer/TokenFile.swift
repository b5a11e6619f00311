import CLibcrypto
import FoundationEssentials
import Glibc
public import Logging
import OCI
import Serving
import Synchronization

/// The bearer tokens (RFC 6750) that may ask: one a line, `#` begins a comment.
///
/// The file is looked at with each request, and read again when it has changed. One that cannot be read any more lets
/// nobody in: taking a token away must work. Of the tokens only hashes are kept.
public final class TokenFile: Sendable {
    /// The largest file that is read: 64 KiB.
    static let maximumSize = 64 << 10
    /// The shortest token that is taken: 16 characters. What is shorter can be guessed.
    static let minimumLength = 16

    private struct Content {
        var identity: FileIdentity?
        /// SHA-256 of each token, so that a comparison takes as long for all.
        var hashes: [[UInt8]]
    }

    private let path: String
    private let logger: Logger
    private let content: Mutex<Content>

    /// - Parameters:
    ///   - path: the file
    ///   - logger: where it says that a changed file cannot be used
    /// - Throws: `GateServerError.unusableTokens`
    public init(_ path: String, logger: Logger) throws(GateServerError) {
        self.path = path
        self.logger = logger
        let identity = FileIdentity(of: path)
        do {
            content = Mutex(Content(identity: identity, hashes: try Self.hashes(in: path)))
        } catch {
            throw GateServerError(.unusableTokens, error.message)
        }
        warnOfReaders()
    }

    /// A warning and no refusal: in a container, where nobody else is, secrets are mounted so.
    private func warnOfReaders() {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IROTH != 0 else { return }
        logger.warning(
            "every user of this machine can read the tokens",
            metadata: ["file": "\(path)", "advice": "chmod o= it, and make new ones if somebody could have read them"])
    }

    /// Whether an `Authorization` header carries one of the tokens. Takes as long for every token that is wrong.
    ///
    /// - Parameters:
    ///   - header: the header's value
    ///   - asPassword: whether a token may also be the password of Basic authentication (RFC 7617), which is what a
    ///     browser can send; the user name is not looked at
    func accepts(_ header: String?, asPassword: Bool = false) -> Bool {
        let hashes = currentHashes()
        guard let header, header.utf8.count <= 4096, let space = header.firstIndex(of: " ") else { return false }
        let credentials = header[space...].drop { $0 == " " }
        // The scheme's case does not matter (RFC 9110 section 11.1).
        let hash: [UInt8]
        switch header[..<space].lowercased() {
        case "bearer": hash = Self.hash(credentials.utf8)
        case "basic" where asPassword:
            guard let pair = Data(base64Encoded: String(credentials)),
                let colon = pair.firstIndex(of: UInt8(ascii: ":"))
            else { return false }
            hash = Self.hash(pair[(colon + 1)...])
        default: return false
        }
        var found: Int32 = 0
        for known in hashes { found |= CRYPTO_memcmp(known, hash, hash.count) == 0 ? 1 : 0 }
        return found == 1
    }

    /// Reads the file now, whether it has changed or not, and says what came of it.
    public func readAgain() { content.withLock { refresh(&$0, isAsked: true) } }

    private func currentHashes() -> [[UInt8]] {
        content.withLock { content in
            refresh(&content)
            return content.hashes
        }
    }

    private func refresh(_ content: inout Content, isAsked: Bool = false) {
        let identity = FileIdentity(of: path)
        guard isAsked || identity == nil || identity != content.identity else { return }
        do throws(FileFault) {
            content.hashes = try Self.hashes(in: path)
            warnOfReaders()
            logger.info("read the tokens again", metadata: ["tokens": .stringConvertible(content.hashes.count)])
        } catch {
            // Once, and not with every request.
            if isAsked || !content.hashes.isEmpty {
                logger.error("nobody may ask", metadata: ["reason": "\(error.message)"])
            }
            content.hashes = []
        }
        content.identity = identity
    }

    private static func hashes(in path: String) throws(FileFault) -> [[UInt8]] {
        let text = String(decoding: try smallFile(path, limit: maximumSize), as: UTF8.self)
        var hashes: [[UInt8]] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let blanks: Set<UInt8> = [UInt8(ascii: "\r"), UInt8(ascii: " "), UInt8(ascii: "\t")]
            let token = Array(
                line.utf8.drop { blanks.contains($0) }.reversed().drop { blanks.contains($0) }.reversed())
            if token.isEmpty || token.first == UInt8(ascii: "#") { continue }
            // The message names the line and not the token.
            guard token.count >= minimumLength else {
                throw FileFault(
                    "\(path):\(index + 1): a token has at least \(minimumLength) characters: make one with 'openssl rand"
                        + " -hex 32'")
            }
            guard token.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw FileFault("\(path):\(index + 1): a token has letters, digits and -._~+/= only")
            }
            hashes.append(hash(token))
        }
        guard !hashes.isEmpty else {
            throw FileFault("\(path): has no token: write one a line, for example of 'openssl rand -hex 32'")
        }
        return hashes
    }

    private static func hash(_ token: some Sequence<UInt8>) -> [UInt8] { Array(Digest(of: Array(token)).hex.utf8) }
}
