import CLibcrypt
import CLibcrypto
import Glibc
import Serving

/// The users of an htpasswd file, `USER:HASH` a line: bcrypt, SHA-256-crypt or SHA-512-crypt, as `htpasswd -B`, `-2` and
/// `-5` write them.
struct PasswordFile: Sendable, Hashable {
    /// The most bytes of the file.
    static let maximumSize = 1 << 20
    /// What one check may cost: bcrypt's exponent, and SHA-crypt's rounds. 2^14 takes about a second.
    static let maximumCost = 14
    static let maximumRounds = 1_000_000

    /// Hashes by user.
    let hashes: [String: String]

    /// Reads a file.
    init(path: String) throws(FileFault) {
        let bytes = try smallFile(path, limit: Self.maximumSize)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw FileFault("\(path): is not UTF-8") }
        try self.init(text: text, path: path)
    }

    /// - Parameters:
    ///   - text: the file's content
    ///   - path: its name in messages
    init(text: String, path: String) throws(FileFault) {
        var hashes: [String: String] = [:]
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.last == "\r" ? line.dropLast() : line
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count >= 2, !parts[0].isEmpty else {
                throw FileFault("\(path):\(number + 1): write USER:HASH, as 'htpasswd -B' does")
            }
            guard Self.isSupported(parts[1]) else {
                throw FileFault(
                    "\(path):\(number + 1): the hash of '\(parts[0])' is neither bcrypt up to cost \(Self.maximumCost) nor"
                        + " SHA-crypt up to \(Self.maximumRounds) rounds: write it with 'htpasswd -B'")
            }
            guard hashes.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else {
                throw FileFault("\(path):\(number + 1): the user '\(parts[0])' is listed twice")
            }
        }
        guard !hashes.isEmpty else {
            throw FileFault("\(path): there is no user: add one with 'htpasswd -B \(path) USER'")
        }
        self.hashes = hashes
    }

    private static func isSupported(_ hash: Substring) -> Bool {
        let parts = hash.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].isEmpty, hash.utf8.count <= 256 else { return false }
        switch parts[1] {
        case "2a", "2b", "2y": return parts.count == 4 && (4...maximumCost).contains(Int(parts[2]) ?? 0)
        case "5", "6":
            guard parts[2].hasPrefix("rounds=") else { return parts.count == 4 }
            return parts.count == 5 && (1000...maximumRounds).contains(Int(parts[2].dropFirst(7)) ?? 0)
        default: return false
        }
    }

    /// Whether a password hashes to a hash (crypt_r(3), libxcrypt). Slow on purpose.
    static func matches(_ password: [UInt8], _ hash: String) -> Bool {
        // crypt_data has 32 KiB.
        let data = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
        defer {
            // What it holds follows from the password.
            OPENSSL_cleanse(data, MemoryLayout<crypt_data>.size)
            data.deallocate()
        }
        memset(data, 0, MemoryLayout<crypt_data>.size)
        let expected = Array(hash.utf8)
        let actual = (password + [0]).withUnsafeBufferPointer { password -> [UInt8] in
            password.withMemoryRebound(to: CChar.self) { password in
                guard let base = password.baseAddress, let result = crypt_r(base, hash, data) else { return [] }
                return Array(UnsafeBufferPointer(start: result, count: strlen(result))).map { UInt8(bitPattern: $0) }
            }
        }
        return actual.count == expected.count && CRYPTO_memcmp(actual, expected, expected.count) == 0
    }
}
