import CLibcrypto
import HTTPTypes
import Logging
import NIOPosix
import Serving
import Synchronization

/// Checks passwords with bounded work: two threads, a short queue, and a memory of those that were right.
///
/// The file is looked at with each request, and read again when it has changed. One that cannot be read any more lets
/// nobody in: taking a user away must work.
final class PasswordCheck: Sendable {
    /// What a client says it is.
    struct Credentials: Sendable {
        let user: String
        let password: [UInt8]
    }

    /// Checks at once.
    static let threads = 2
    /// Checks that wait; more are refused (429).
    static let queue = 64
    /// Passwords that are remembered as right, for ten minutes each: by a hash under a key of this process, so that they
    /// are nowhere in memory.
    static let remembered = 1024
    static let validity = Duration.seconds(600)

    private struct State {
        var identity: FileIdentity?
        var hashes: [String: String]
        var right: [[UInt8]: ContinuousClock.Instant] = [:]
        var waiting = 0
    }

    private let state: Mutex<State>
    private let key: [UInt8]
    private let pool: NIOThreadPool
    /// What an unknown user's password is compared with, so that the answer takes as long.
    private let decoy: String

    private let path: String
    private let logger: Logger

    /// - Throws: `FileFault`
    init(_ path: String, logger: Logger) throws(FileFault) {
        self.path = path
        self.logger = logger
        let identity = FileIdentity(of: path)
        let file = try PasswordFile(path: path)
        state = Mutex(State(identity: identity, hashes: file.hashes))
        key = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
        decoy = file.hashes.values.first ?? ""
        pool = NIOThreadPool(numberOfThreads: Self.threads)
        pool.start()
    }

    /// Reads the file now, whether it has changed or not, and says what came of it.
    func readAgain() { state.withLock { refresh(&$0, isAsked: true) } }

    /// Reads the file again if it has changed, or somebody asks for it; what was remembered is forgotten then.
    private func refresh(_ state: inout State, isAsked: Bool = false) {
        let identity = FileIdentity(of: path)
        guard isAsked || identity == nil || identity != state.identity else { return }
        do throws(FileFault) {
            state.hashes = try PasswordFile(path: path).hashes
            logger.info("read the users again", metadata: ["users": .stringConvertible(state.hashes.count)])
        } catch {
            // Once, and not with every request.
            if isAsked || !state.hashes.isEmpty {
                logger.error("nobody may log in", metadata: ["reason": "\(error)"])
            }
            state.hashes = [:]
        }
        state.identity = identity
        state.right = [:]
    }

    /// Whether a user has a password.
    ///
    /// - Throws: `.tooManyRequests` where too many ask at once
    func accepts(_ credentials: Credentials) async throws(RegistryProblem) -> Bool {
        let tag = tag(of: credentials)
        let now = ContinuousClock.now
        guard case .compare(let hash) = try begin(credentials.user, tag, now) else { return true }
        defer { state.withLock { $0.waiting -= 1 } }
        let decoy = decoy
        let matches: Bool
        do {
            matches = try await pool.runIfActive { PasswordFile.matches(credentials.password, hash ?? decoy) }
        } catch {
            throw RegistryProblem(.unavailable, "the registry is shutting down")
        }
        guard matches, let hash else { return false }
        state.withLock { state in
            // Unless the file has changed meanwhile.
            guard state.hashes[credentials.user] == hash else { return }
            if state.right.count >= Self.remembered {
                state.right = state.right.filter { $0.value > now }
                if state.right.count >= Self.remembered { state.right = [:] }
            }
            state.right[tag] = now + Self.validity
        }
        return true
    }

    private enum Beginning {
        case isRemembered
        /// With the user's hash; `nil` where there is no such user.
        case compare(String?)
    }

    private func begin(
        _ user: String, _ tag: [UInt8], _ now: ContinuousClock.Instant
    ) throws(RegistryProblem) -> Beginning {
        let beginning: Beginning? = state.withLock { state in
            refresh(&state)
            if let until = state.right[tag], until > now { return .isRemembered }
            guard state.waiting < Self.queue else { return nil }
            state.waiting += 1
            return .compare(state.hashes[user])
        }
        guard let beginning else {
            var problem = RegistryProblem(.tooManyRequests, "too many log in at once: try again")
            problem.headers[.retryAfter] = "2"
            throw problem
        }
        return beginning
    }

    func shutdown() async { try? await pool.shutdownGracefully() }

    /// HMAC-SHA256 over user and password. A user's name has no NUL: `Basic` refuses it.
    private func tag(of credentials: Credentials) -> [UInt8] {
        let text = Array(credentials.user.utf8) + [0] + credentials.password
        var tag = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let isMade = HMAC(EVP_sha256(), key, Int32(key.count), text, text.count, &tag, &length) != nil
        // Without a tag there is nothing to remember by: a random one matches nothing.
        return isMade ? tag : (0..<32).map { _ in UInt8.random(in: .min ... .max) }
    }
}
